"""Tversky loss: overlap, with a price each for what is missed and for what is made up."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
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


class TverskyParams(OverlapParams):
    """Parameters of `tversky`."""

    fp_weight: float = Field(
        0.5, ge=0, le=100, description="What a false positive costs; alpha in the paper."
    )
    fn_weight: float = Field(
        0.5, ge=0, le=100, description="What a false negative costs; beta in the paper."
    )


@loss(
    formula=r"1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s'}",
    source="Salehi, Erdogmus and Gholipour 2017, arXiv:1706.05721, eq. 3",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; `dice` with both weights 1/2, `jaccard` with both 1.",
        use="Where missing a small lesion costs more than a false alarm: fn_weight above "
        "fp_weight.",
        stability="Counted in float64. The weights are named by what they weigh, since sources "
        "swap alpha and beta.",
        data="Masks or labels, very unequal classes.",
    ),
    example=Example(EXAMPLE),
)
def tversky(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: TverskyParams,
) -> Float[Tensor, "rows"]:
    """One minus the Tversky index, the mean over an image's classes.

    Classes count equally within an image; `empty` rules on those that its target lacks. Ignored
    pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 1] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    missing = params.fp_weight * regions.false_positive + params.fn_weight * regions.false_negative
    costs = shortfall(regions.true_positive, missing, params)
    return mean_over_classes(costs, regions, params)
