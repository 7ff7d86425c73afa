"""Soft skeletons: what erosion and opening leave of a region, in any number of dimensions."""

import torch
from torch import Tensor


def soft_skeleton(x: Tensor, iterations: int) -> Tensor:
    """The ridges of (rows, classes, *spatial) numbers in [0, 1]; ties share their gradient."""
    skeleton = torch.relu(x - _opened(x))
    for _ in range(iterations):
        x = _eroded(x)
        ridge = torch.relu(x - _opened(x))
        skeleton = skeleton + torch.relu(ridge - skeleton * ridge)
    return skeleton


def _opened(x: Tensor) -> Tensor:
    x = _eroded(x)
    for axis in range(2, x.ndim):
        x = _neighbours(x, axis).amax(0)
    return x


def _eroded(x: Tensor) -> Tensor:
    """The least of each pixel and its direct neighbours."""
    if x.ndim == 2:
        return x
    return torch.stack([_neighbours(x, axis).amin(0) for axis in range(2, x.ndim)]).amin(0)


def _neighbours(x: Tensor, axis: int) -> Tensor:
    """Each number and those before and after it along an axis; at the edge, itself."""
    size = x.shape[axis]
    before = torch.cat((x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)), dim=axis)
    after = torch.cat((x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)), dim=axis)
    return torch.stack((x, before, after))
