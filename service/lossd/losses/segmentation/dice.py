"""Dice loss: the overlap of predicted and true regions, class by class."""

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


class DiceParams(OverlapParams):
    """Parameters of `dice`."""

    squared: bool = Field(
        False, description="Whether the denominator sums squares, as in the V-Net paper."
    )


@loss(
    formula=r"1 - \frac{2 \sum p t + s}{\sum p + \sum t + s'}",
    source="Milletari, Navab and Ahmadi 2016 (V-Net), arXiv:1606.04797, section 3 (squared)",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; indifferent to the number of background pixels. One value "
        "per image.",
        use="Segmentation of small regions, alone or beside cross-entropy.",
        stability="Counted in float64. Where a class is neither there nor predicted, smoothing "
        "rules: 0 with equal terms. A sure wrong pixel has a vanishing gradient; "
        "cross-entropy has not.",
        data="Masks or labels. Libraries differ on empty classes: see `empty`.",
    ),
    example=Example(EXAMPLE),
)
def dice(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: DiceParams,
) -> Float[Tensor, "rows"]:
    """One minus the Dice coefficient, the mean over an image's classes.

    Classes count equally within an image; `empty` rules on those that its target lacks. Ignored
    pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 1] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    if params.squared:
        costs = shortfall(regions.squares - regions.squared_error, regions.squared_error, params)
    else:
        missing = regions.false_positive + regions.false_negative
        costs = shortfall(2.0 * regions.true_positive, missing, params)
    return mean_over_classes(costs, regions, params)
