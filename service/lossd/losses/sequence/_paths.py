"""Inputs and maths that losses of paths through time share."""

from typing import Annotated

import torch
from jaxtyping import Int
from torch import Tensor

from lossd.losses._spec import Arg

# Stands for -inf in sums of logarithms, whose gradient would be NaN: it is lost beside any
# log-probability, and thousands of it still fit float32.
NEVER = -1e30

InputLengths = Annotated[
    Int[Tensor, "rows"],
    Arg(doc="Frames of each row; all if absent.", index_of="time", index_past=1),
]


def without_infinity(log_probabilities: Tensor) -> Tensor:
    """-inf as a number that cannot be told from it."""
    return log_probabilities.masked_fill(log_probabilities == -torch.inf, NEVER)


def infinite_where_impossible(log_likelihood: Tensor, otherwise: float) -> Tensor:
    """Minus the log-likelihood; `otherwise`, without a gradient, where there is no path."""
    impossible = log_likelihood < 0.5 * NEVER
    return (-log_likelihood).masked_fill(impossible, otherwise)


def lengths_or(lengths: Tensor | None, like: Tensor, most: int) -> Tensor:
    """The lengths, or `most` for each row."""
    if lengths is not None:
        return lengths
    return torch.full((like.shape[0],), most, dtype=torch.int64, device=like.device)
