"""Backward correction: losses of all labels, mixed so that their mean is that of the true one."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.errors import OutOfRange
from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities
from lossd.losses.robust._transition import Transition


class BackwardCorrectionParams(IgnoringParams):
    """Parameters of `backward_correction`."""


@loss(
    formula=r"-\sum_k (T^{-1})_{yk} \log p_k,\quad p = \operatorname{softmax}(z)",
    source="Patrini et al. 2017, arXiv:1609.03683, theorem 1",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Unbiased: its mean over the noise is the cross-entropy of the true label. "
        "Negative on some items, and not bounded below.",
        use="To estimate the clean loss from noisy labels; forward_correction to train.",
        stability="The variance grows with the inverse of T. Computed with an inverse in float64; "
        "a matrix without one is refused.",
        data="A row-stochastic matrix T, row = true class, far from singular; more of every class "
        "stays than leaves.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "transition": [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.0, 0.8]],
        }
    ),
)
def backward_correction(
    logits: FiniteLogits,
    labels: IgnorableLabels,
    transition: Transition,
    *,
    params: BackwardCorrectionParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropies of all labels, weighed by a row of the inverse transition matrix.

    Returns one value per item, in nats, of either sign, 0 where ignored. Raises `OutOfRange` where
    the matrix has no inverse.
    """
    inverse, failed = torch.linalg.inv_ex(transition.double())
    if bool(failed):
        raise OutOfRange(
            "transition has no inverse", at="inputs.transition", expected="an invertible matrix"
        )
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    weights: Tensor = inverse.to(log_p.dtype)[safe].movedim(-1, 1)
    return -(weights * log_p).sum(1).masked_fill(ignored, 0.0)
