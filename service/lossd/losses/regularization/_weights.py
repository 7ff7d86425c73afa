"""Weights as matrices, and in groups."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

Groups = Literal["rows", "columns", "tensor"]
Start = Annotated[
    tuple[Float[Tensor, "..."], ...],
    Arg(doc="What the weights are drawn to, by the same names.", like="weights"),
]


def as_matrix(weight: Tensor) -> Tensor:
    """(outputs, everything else): a vector is one column, a number one element."""
    if not weight.numel():
        return weight.reshape(0, 1)
    return weight.reshape(weight.shape[0] if weight.ndim else 1, -1)


def in_groups(weight: Tensor, groups: Groups) -> Tensor:
    """(groups, members): slices along axis 0, slices along axis 1, or the tensor as one group."""
    if groups == "tensor" or weight.ndim == 0:
        return weight.reshape(1, -1)
    if groups == "columns" and weight.ndim > 1:
        weight = weight.movedim(1, 0)
    return weight.reshape(weight.shape[0], -1) if weight.numel() else weight.reshape(0, 1)


def group_lengths(weight: Tensor, groups: Groups, by_size: bool) -> Tensor:
    """The Euclidean length of each group, times the root of its size, in float64.

    A group of zeros has no gradient.
    """
    parts = in_groups(weight.double(), groups)
    scale = float(parts.shape[1]) ** 0.5 if by_size else 1.0
    lengths: Tensor = torch.linalg.vector_norm(parts, dim=1)
    return scale * lengths


def total(parts: list[Tensor]) -> Tensor:
    """The sum of numbers."""
    return torch.stack(parts).sum()
