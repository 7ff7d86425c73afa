"""Rows of any shape, their lengths, and ratios of sizes."""

import torch
from torch import Tensor


def in_rows(x: Tensor) -> Tensor:
    """(rows, *rest) as (rows, elements)."""
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


def length(x: Tensor) -> Tensor:
    """Euclidean length of each row of (rows, elements); no square overflows. Gradient 0 at 0."""
    if not x.shape[1]:
        return x.sum(1)
    # A length grows with its vector, so the largest size may count as constant.
    size = x.detach().abs().amax(1, keepdim=True)
    nowhere = size == 0
    scaled = x.masked_fill(nowhere, 0.0) / size.masked_fill(nowhere, 1.0)
    found: Tensor = size.squeeze(1) * torch.linalg.vector_norm(scaled, dim=1)
    return found


def ratio(size: Tensor, scale: Tensor) -> Tensor:
    """size / scale of sizes >= 0: 0 / 0 is 0; +inf, without a gradient, where only scale is 0."""
    none = scale == 0
    finite = size.masked_fill(none, 0.0) / scale.masked_fill(none, 1.0)
    return finite.masked_fill(none & (size > 0), torch.inf)
