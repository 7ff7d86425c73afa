"""Gradient harmonised classification loss (GHM-C): elements weigh less where many are alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._harmony import (
    Counts,
    HarmonizedParams,
    Mask,
    bins_of,
    counted,
    new_counts,
    weights_of,
)
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example


class GradientHarmonizedParams(HarmonizedParams):
    """Parameters of `gradient_harmonized`."""


def weight_of_item(
    params: GradientHarmonizedParams,
    targets: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 for an element that counts, 0 for an ignored one."""
    return counted(targets, mask)


def _bins(logits: Tensor, targets: Tensor, mask: Tensor | None, bins: int) -> Tensor:
    return bins_of((torch.sigmoid(logits) - targets).abs(), mask, bins)


def state(
    params: GradientHarmonizedParams,
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """`counts`: momentum times the old ones, and the rest of this call's."""
    found = _bins(logits, targets, mask, params.bins)
    return {"counts": new_counts(params, found, counts, logits.dtype)}


@loss(
    formula=r"\frac{N}{M\,S_{b(i)}}\,\big[y\,\mathrm{softplus}(-z) + (1-y)\,"
    r"\mathrm{softplus}(z)\big],\quad b(i) = \lfloor M\,|\sigma(z) - y| \rfloor,\quad "
    r"S_b = \alpha S_b + (1 - \alpha) R_b",
    source="Li, Liu and Wang 2019, arXiv:1811.05181, GHM-C loss with unit regions and their EMA",
    units="nats, times a weight",
    weights=weight_of_item,
    coupling="coupled",
    state=state,
    card=Card(
        characteristics="Cross-entropy over the density of gradient norms: both the many easy "
        "elements and the very hard ones, which are often wrong labels, weigh less.",
        use="One-stage detectors, in place of focal loss, where no gamma fits the whole training.",
        stability="Weights are constant in the gradient and jump where an element changes its "
        "bin. With momentum, first calls weigh 1 / (1 - momentum) too much, as counts begin at 0.",
        data="Many elements per call, or a momentum: a bin of few elements makes their weight "
        "large.",
    ),
    example=Example(
        {
            "logits": [[2.0, -1.0], [0.5, 0.0]],
            "targets": [[1, 0], [0, 1]],
            "counts": [3.0, 1.0, 0.5, 2.0],
        },
        {"bins": 4, "momentum": 0.75},
    ),
)
def gradient_harmonized(
    logits: Scores,
    targets: BinaryTargets,
    mask: Mask | None = None,
    counts: Counts | None = None,
    *,
    params: GradientHarmonizedParams,
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy over the density of the element's gradient norm, one per element.

    N is the number of elements that count, M that of bins, S the new state: this call's counts R
    averaged with the old. Weights have no gradient, so neither has a border between bins.
    """
    found = _bins(logits, targets, mask, params.bins)
    values = targets * softplus(-logits) + (1.0 - targets) * softplus(logits)
    return weights_of(params, found, counts, logits.dtype) * values
