"""Proximal operators of penalties on groups, and of those that are not convex. In float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from lossd.losses.regularization._weights import Groups, in_groups


def shrink_groups(weight: Tensor, groups: Groups, by: float, *, by_size: bool) -> Tensor:
    """Each group shortened by so much, times the root of its size with `by_size`, or to 0."""
    if not weight.numel():
        return weight
    parts = in_groups(weight, groups)
    by = by * float(parts.shape[1]) ** 0.5 if by_size else by
    length = torch.linalg.vector_norm(parts, dim=1)
    nothing = length == 0
    factor = torch.relu(1.0 - by / length.masked_fill(nothing, 1.0)).masked_fill(nothing, 0.0)
    axis = 1 if groups == "columns" and weight.ndim > 1 else 0
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    return weight * (factor.view(shape) if groups != "tensor" and weight.ndim else factor.sum())


def cheapest(
    weight: Tensor, candidates: Callable[[Tensor], list[Tensor]], cost: Callable[[Tensor], Tensor],
    step: float,
) -> Tensor:  # fmt: skip
    """For each v the first w >= 0 of the candidates with the least cost(w) + (w - |v|)^2 / 2 step.

    It gets the sign of v.
    """
    size = weight.abs()
    tried = torch.stack(candidates(size))
    # Times the step, so that a small one does not overflow.
    costs = step * cost(tried) + 0.5 * (tried - size).square()
    best = tried.gather(0, costs.argmin(0, keepdim=True)).squeeze(0)
    return torch.sign(weight) * best
