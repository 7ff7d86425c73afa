"""Inputs and maths that losses of policies share."""

import math
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._spec import Arg

ActionLogProbabilities = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Log-probability or log-density of each action under the policy.", gradient=True),
]
OldLogProbabilities = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="The same under the policy that acted."),
]
Advantages = Annotated[Float[Tensor, "rows *rest"], Arg(doc="Advantage of each action.")]
Mask = Annotated[
    Int[Tensor, "rows *rest"], Arg(doc="1: the item counts; 0: padding.", values=(0, 1))
]
TokenMask = Annotated[
    Int[Tensor, "rows tokens"],
    Arg(doc="1: a token of the answer; 0: padding. All count if absent.", values=(0, 1)),
]


def weight_of_mask(like: Tensor, mask: Tensor | None) -> Tensor:
    """1 per item that counts."""
    if mask is None:
        return torch.ones_like(like, dtype=torch.float64)
    return mask.to(torch.float64)


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values, 0 where they do not count."""
    return values if mask is None else values.masked_fill(mask == 0, 0.0)


def clipped_surrogate(
    log_ratio: Tensor, advantages: Tensor, low: float, high: float, bound: float | None
) -> Tensor:
    """min(ratio * A, clip(ratio) * A), flat from the edges on.

    `bound` is the largest ratio of a negative advantage. What is flat is cut out before the
    exponential, whose overflow would spoil its gradient.
    """
    flat = {1.0 + high: (advantages > 0) & (log_ratio >= math.log1p(high))}
    if low < 1:
        flat[1.0 - low] = (advantages < 0) & (log_ratio <= math.log1p(-low))
    if bound is not None:
        flat[bound] = (advantages < 0) & (log_ratio >= math.log(bound))
    counts = advantages != 0
    for edge in flat.values():
        counts = counts & ~edge
    ratio = torch.exp(log_ratio.masked_fill(~counts, 0.0))
    for value, edge in flat.items():
        ratio = ratio.masked_fill(edge, value)
    return ratio * advantages
