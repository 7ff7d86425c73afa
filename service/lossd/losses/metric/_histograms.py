"""Histograms that a gradient goes through: each number is shared by the two nodes beside it."""

import torch
from torch import Tensor


def soft_histogram(x: Tensor, among: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Per row of x, how much of what is `among` falls to each of bins + 1 nodes, linearly shared.

    At a node itself, which is a kink, the gradient is that of the interval above it.
    """
    place = (x - low) * (bins / (high - low))
    lower = place.detach().floor().clamp(0, bins - 1)
    upper_share = (place - lower).masked_fill(~among, 0.0)
    lower_share = (1.0 - place + lower).masked_fill(~among, 0.0)
    node = lower.long()
    empty = torch.zeros(len(x), bins + 1, dtype=x.dtype, device=x.device)
    return empty.scatter_add(1, node, lower_share).scatter_add(1, node + 1, upper_share)
