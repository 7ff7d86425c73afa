"""Total variation distance: the most that two distributions disagree on the odds of any event."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits


class TotalVariationParams(LossParams):
    """`total_variation` has no parameters."""


@loss(
    formula=r"\frac{1}{2} \sum_k |p_k - q_k|",
    source="Levin, Peres and Wilmer 2009, Markov Chains and Mixing Times, proposition 4.2; in "
    "distillation Wen et al. 2023, arXiv:2307.15190, section 2.3",
    units="probability",
    card=Card(
        characteristics="A distance, symmetric, in [0, 1]; 1 where the supports are disjoint.",
        use="Distillation that cares for probabilities, not for the ratios of small ones.",
        stability="Bounded value and gradient; far apart the gradient vanishes with the softmax.",
        data="Two distributions over the same classes.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}),
)
def total_variation(
    p_logits: PLogits, q_logits: QLogits, *, params: TotalVariationParams
) -> Float[Tensor, "rows *spatial"]:
    """Half the summed absolute difference of two distributions: one value per item.

    The subgradient where two probabilities are equal is 0.
    """
    difference = torch.softmax(p_logits, 1) - torch.softmax(q_logits, 1)
    return 0.5 * difference.abs().sum(1)
