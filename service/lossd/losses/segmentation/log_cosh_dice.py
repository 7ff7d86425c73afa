"""Log-cosh Dice loss: Dice with a smooth, bounded slope."""

import torch
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


class LogCoshDiceParams(OverlapParams):
    """Parameters of `log_cosh_dice`."""


@loss(
    formula=r"\log \cosh \left(1 - \frac{2 \sum p t + s}{\sum p + \sum t + s'}\right)",
    source="Jadon 2020, arXiv:2006.14822, section 3.3",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="`dice` squared and halved near 0, nearly straight far from it.",
        use="Where the slope of `dice` makes training restless.",
        stability="log cosh of the mean loss of an image; the gradient is tanh of it times that "
        "of `dice`.",
        data="Masks or labels.",
    ),
    example=Example(EXAMPLE),
)
def log_cosh_dice(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: LogCoshDiceParams,
) -> Float[Tensor, "rows"]:
    """The logarithm of the hyperbolic cosine of an image's Dice loss.

    Classes count equally within an image; `empty` rules on those that its target lacks. Ignored
    pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 0.44] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    missing = regions.false_positive + regions.false_negative
    costs = shortfall(2.0 * regions.true_positive, missing, params)
    cost = mean_over_classes(costs, regions, params)
    # log cosh x = log1p(2 sinh(x / 2)^2), to the last digit near 0.
    return torch.log1p(2.0 * torch.sinh(0.5 * cost).square())
