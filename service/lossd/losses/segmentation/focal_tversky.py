"""Focal Tversky loss: the Tversky loss of each class to a power."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example
from lossd.losses.segmentation._regions import (
    EXAMPLE,
    ONE_OF,
    Masks,
    OverlapParams,
    RegionProbabilities,
    counted_images,
    mean_over_classes,
    regions_of,
    shortfall,
)


class FocalTverskyParams(OverlapParams):
    """Parameters of `focal_tversky`."""

    fp_weight: float = Field(
        0.3, ge=0, le=100, description="What a false positive costs; alpha in the paper."
    )
    fn_weight: float = Field(
        0.7, ge=0, le=100, description="What a false negative costs; beta in the paper."
    )
    gamma: float = Field(
        0.75, ge=0.1, le=10, description="The power; the paper writes it 1 / gamma."
    )


@loss(
    formula=r"\left(1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s'}\right)^\gamma",
    source="Abraham and Khan 2018, arXiv:1810.07842, eq. 4",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="gamma below 1 keeps a pull on regions that nearly fit; above 1 it looks "
        "at bad ones.",
        use="Small regions, where `tversky` stalls.",
        stability="The derivative at 0 is infinite for gamma below 1 and counts as 0.",
        data="Masks or labels, very unequal classes.",
    ),
    example=Example(EXAMPLE),
)
def focal_tversky(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: FocalTverskyParams,
) -> Float[Tensor, "rows"]:
    """The Tversky loss of a class to the power gamma, the mean over an image's classes.

    Classes count equally within an image; `empty` rules on those that its target lacks. Ignored
    pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 1] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    missing = params.fp_weight * regions.false_positive + params.fn_weight * regions.false_negative
    costs = shortfall(regions.true_positive, missing, params)
    return mean_over_classes(power(costs, params.gamma), regions, params)
