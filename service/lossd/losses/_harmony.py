"""What gradient harmonised losses share: elements counted by the size of their gradient."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._spec import Arg, LossParams

Mask = Annotated[
    Int[Tensor, "rows *rest"],
    Arg(doc="1: the element counts; 0: it is ignored. 1 if absent.", values=(0, 1)),
]
Counts = Annotated[
    Float[Tensor, "bins"],
    Arg(doc="Moving average of the elements in each bin, 0 if absent.", low=0, role="state"),
]


class HarmonizedParams(LossParams):
    """Parameters of losses that are weighed by the density of gradient norms."""

    bins: int = Field(10, ge=1, le=1000, description="Equal parts of [0, 1] to count in.")
    momentum: float = Field(
        0.0, ge=0, lt=1, description="Share of the old counts in the new ones; 0 keeps no state."
    )
    occupied: Literal["all", "nonempty"] = Field(
        "all",
        description="Which bins are averaged over, and moved by the momentum: all, as in the "
        "paper, or those that hold an element of this call, as in its authors' code.",
    )


def bins_of(norms: Tensor, mask: Tensor | None, bins: int) -> Tensor:
    """The bin of each gradient norm, which is 0 to 1; `bins` itself for an ignored element."""
    # Bounded, since norms may be NaN if a caller lets them: an index must never be out of range.
    found = (norms.detach().nan_to_num() * bins).long().clamp(0, bins - 1)
    return found if mask is None else found.masked_fill(mask == 0, bins)


def _held(found: Tensor, bins: int) -> Tensor:
    return torch.bincount(found.flatten(), minlength=bins)[:bins]


def new_counts(
    params: HarmonizedParams, found: Tensor, counts: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Momentum times the old counts, and the rest of this call's."""
    new = _held(found, params.bins).to(dtype)
    old = torch.zeros_like(new) if counts is None else counts
    moved = params.momentum * old + (1.0 - params.momentum) * new
    return moved if params.occupied == "all" else torch.where(new > 0, moved, old)


def weights_of(
    params: HarmonizedParams, found: Tensor, counts: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """The number of elements over that of bins times what an element's own bin holds.

    0 for an ignored element. Bins that hold none are not looked up.
    """
    held, density = _held(found, params.bins), new_counts(params, found, counts, dtype)
    used = params.bins if params.occupied == "all" else (held > 0).sum().clamp(min=1)
    filled = density.masked_fill(held == 0, 1.0)
    per_bin = (held.sum() / (used * filled)).to(dtype)
    return torch.cat((per_bin, per_bin.new_zeros(1)))[found]


def counted(like: Tensor, mask: Tensor | None) -> Tensor:
    """1 for an element that counts, 0 for an ignored one."""
    return torch.ones_like(like) if mask is None else mask.to(like.dtype)
