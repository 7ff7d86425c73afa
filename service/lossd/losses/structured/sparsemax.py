"""Sparsemax loss: cross-entropy's relative whose probabilities can be exactly 0."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels, TargetProbabilities
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.structured._fenchel_young import one_hot_or


class SparsemaxParams(LossParams):
    """`sparsemax` has no parameters."""


@loss(
    formula=r"\tfrac{1}{2} \lVert t - z \rVert^2 - \tfrac{1}{2} \lVert p - z \rVert^2,"
    r"\quad p = \operatorname*{argmin}_{q \in \Delta} \lVert q - z \rVert^2",
    source="Martins and Astudillo 2016, arXiv:1602.02068, section 3",
    units="squared logit units",
    exactly_one_of=(("labels", "target_probabilities"),),
    card=Card(
        characteristics="Convex, once differentiable, with a margin: it is exactly 0 once the "
        "right logit leads by 1. Its gradient is p - t, with p sparse.",
        use="Classification and attention where most classes should get no probability at all; "
        "several labels per row as even target probabilities.",
        stability="No exponential: the projection is found by sorting. Exact for finite logits.",
        data="As cross_entropy. Logits far from each other cost only linearly.",
    ),
    example=Example({"logits": [[2.0, 1.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def sparsemax(
    logits: FiniteLogits,
    labels: Labels | None = None,
    target_probabilities: TargetProbabilities | None = None,
    *,
    params: SparsemaxParams,
) -> Float[Tensor, "rows *spatial"]:
    """How much nearer the logits are to their projection on the distributions than to the target.

    Returns one value per item, >= 0.
    """
    target = one_hot_or(target_probabilities, labels, logits)
    # The same for all logits of an item on both sides, so from the largest on.
    moved = logits - logits.detach().amax(1, keepdim=True)
    p = _project(moved.detach())
    return ((p - target) * moved).sum(1) + 0.5 * (target.square() - p.square()).sum(1)


def _project(logits: Tensor) -> Tensor:
    """The nearest distribution over axis 1."""
    ordered = logits.double().sort(dim=1, descending=True).values
    count = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    count = count.view(-1, *([1] * (logits.ndim - 2)))
    excess = ordered.cumsum(1) - 1.0
    support = (count * ordered > excess).sum(1, keepdim=True)
    threshold = excess.gather(1, support - 1) / support
    return torch.relu(logits - threshold).to(logits.dtype)
