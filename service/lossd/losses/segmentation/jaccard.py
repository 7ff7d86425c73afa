"""Jaccard loss: the share of the union of two regions that they do not share."""

from jaxtyping import Float
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


class JaccardParams(OverlapParams):
    """Parameters of `jaccard`."""


@loss(
    formula=r"1 - \frac{\sum p t + s}{\sum p + \sum t - \sum p t + s'}",
    source="Rahman and Wang 2016, Advances in Visual Computing (ISVC), 234-244, eq. 3 to 5",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; soft IoU. Harder on half a match than `dice`, with the same "
        "order of images.",
        use="Segmentation judged by IoU; `lovasz_softmax` is the convex surrogate of the same.",
        stability="Counted in float64. A sure wrong pixel has a vanishing gradient.",
        data="Masks or labels.",
    ),
    example=Example(EXAMPLE),
)
def jaccard(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: JaccardParams,
) -> Float[Tensor, "rows"]:
    """One minus the soft Jaccard index (IoU), the mean over an image's classes.

    Classes count equally within an image; `empty` rules on those that its target lacks. Ignored
    pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 1] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    missing = regions.false_positive + regions.false_negative
    costs = shortfall(regions.true_positive, missing, params)
    return mean_over_classes(costs, regions, params)
