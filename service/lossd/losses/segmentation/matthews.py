"""Matthews loss: one minus the Matthews correlation of predicted and true regions."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example
from lossd.losses.segmentation._regions import (
    EXAMPLE,
    ONE_OF,
    Masks,
    RegionParams,
    RegionProbabilities,
    counted_images,
    regions_of,
)


class MatthewsParams(RegionParams):
    """Parameters of `matthews`."""


@loss(
    formula=r"1 - \frac{TP \cdot TN - FP \cdot FN}{\sqrt{(TP + FP)(TP + FN)(TN + FP)(TN + FN)}}",
    source="Abhishek and Hamarneh 2021, arXiv:2010.13454, eq. 5 to 7",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 2]; the background that is found counts too, where `dice` and "
        "`jaccard` ignore it.",
        use="Masks where both classes matter. Known as MCC or phi loss.",
        stability="Counted in float64. Where one side is all or nothing there is no correlation: "
        "1, without gradient.",
        data="Masks or labels; sigmoid for one region.",
    ),
    example=Example(EXAMPLE),
)
def matthews(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: MatthewsParams,
) -> Float[Tensor, "rows"]:
    """One minus the Matthews correlation coefficient, the mean over an image's classes.

    Ignored pixels count nowhere. For the correlation over a whole batch, send it as one row.

    Returns one value per image, in [0, 2]; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    found, made_up = regions.true_positive, regions.false_positive
    missed, left = regions.false_negative, regions.true_negative
    covariance = found * left - made_up * missed
    # A root each: the product of four volumes might overflow.
    sides = (found + made_up, found + missed, left + made_up, left + missed)
    scale = covariance.new_ones(())
    for side in sides:
        scale = scale * power(side, 0.5)
    nothing = scale == 0
    correlation = covariance.masked_fill(nothing, 0.0) / scale.masked_fill(nothing, 1.0)
    counts = (found + made_up + missed + left) > 0
    costs = (1.0 - correlation).masked_fill(~counts, 0.0)
    return (costs.sum(1) / max(1, costs.shape[1])).to(regions.dtype)
