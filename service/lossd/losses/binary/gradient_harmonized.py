"""Gradient harmonised classification loss (GHM-C): elements weigh less where many are alike."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams

Mask = Annotated[
    Int[Tensor, "rows *rest"],
    Arg(doc="1: the element counts; 0: it is ignored. 1 if absent.", values=(0, 1)),
]
Counts = Annotated[
    Float[Tensor, "bins"],
    Arg(doc="Moving average of the elements in each bin, 0 if absent.", low=0, role="state"),
]


class GradientHarmonizedParams(LossParams):
    """Parameters of `gradient_harmonized`."""

    bins: int = Field(10, ge=1, le=1000, description="Equal parts of [0, 1] to count in.")
    momentum: float = Field(
        0.0, ge=0, lt=1, description="Share of the old counts in the new ones; 0 keeps no state."
    )
    occupied: Literal["all", "nonempty"] = Field(
        "all",
        description="Which bins are averaged over, and moved by the momentum: all, as in the "
        "paper, or those that hold an element of this call, as in its authors' code.",
    )


def weight_of_item(
    params: GradientHarmonizedParams,
    targets: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 for an element that counts, 0 for an ignored one."""
    return torch.ones_like(targets) if mask is None else mask.to(targets.dtype)


def _bins_of(logits: Tensor, targets: Tensor, mask: Tensor | None, bins: int) -> Tensor:
    """The bin of each element's gradient norm |p - y|; `bins` itself for an ignored one."""
    norm = (torch.sigmoid(logits.detach()) - targets).abs()
    # Bounded, since logits may be NaN if the caller lets them: an index must never be out of range.
    found = (norm.nan_to_num() * bins).long().clamp(0, bins - 1)
    return found if mask is None else found.masked_fill(mask == 0, bins)


def state(
    params: GradientHarmonizedParams,
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """`counts`: momentum times the old ones, and the rest of this call's."""
    found = _bins_of(logits, targets, mask, params.bins).flatten()
    new = torch.bincount(found, minlength=params.bins)[: params.bins].to(logits.dtype)
    old = torch.zeros_like(new) if counts is None else counts
    moved = params.momentum * old + (1.0 - params.momentum) * new
    return {"counts": moved if params.occupied == "all" else torch.where(new > 0, moved, old)}


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
    found = _bins_of(logits, targets, mask, params.bins)
    density = state(params, logits, targets, mask, counts)["counts"].detach()
    held = torch.bincount(found.flatten(), minlength=params.bins)[: params.bins]
    total = held.sum()
    used = params.bins if params.occupied == "all" else (held > 0).sum().clamp(min=1)
    # An element's own bin is never empty; others, and the place of ignored ones, are not looked up.
    per_bin = torch.where(held > 0, total / (used * density.clamp(min=1e-30)), 0.0)
    weights = torch.cat((per_bin, per_bin.new_zeros(1)))[found].to(logits.dtype)
    values = targets * softplus(-logits) + (1.0 - targets) * softplus(logits)
    return weights * values
