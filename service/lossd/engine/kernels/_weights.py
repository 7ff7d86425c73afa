"""Weights of classes and labels, which decide the denominator before anything is checked."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.kernels._blocks import NO_WEIGHTS, Work
from lossd.engine.kernels._job import SUSPECT
from lossd.schema import Call

HARD_TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2  # of a distribution's sum, in float32 and in half


def of_classes(call: Call, key: str) -> NDArray[np.float32]:
    """A weight per class in float32; none where the call has none."""
    x = call.inputs.get(key)
    return NO_WEIGHTS if x is None else x.to(torch.float32).contiguous().numpy()


def are_sound(weights: NDArray[np.float32]) -> bool:
    """Whether all are finite and >= 0."""
    return not weights.size or bool((weights >= 0).all() and (weights < np.inf).all())


def refuse(*_: Any) -> int:
    """The rows of a call whose weights are not what they must be."""
    return SUSPECT


REFUSED = Work(refuse, (), ())


def of_labels(
    labels: Tensor, weights: NDArray[np.float32], ignore_index: int | None
) -> NDArray[np.float64] | float:
    """The weight of each item's label, 1 without weights; 0 for an ignored item, or a bad label."""
    if ignore_index is None and not weights.size:
        return 1.0
    y = labels.numpy().reshape(labels.shape[0], -1)
    if not weights.size:
        counted: NDArray[np.float64] = (y != ignore_index).astype(np.float64)
        return counted
    counts = (y >= 0) & (y < weights.size)
    if ignore_index is not None:
        counts &= y != ignore_index
    of_item: NDArray[np.float64] = weights.astype(np.float64).take(y, mode="clip")
    of_item[~counts] = 0.0
    return of_item


def by_class(call: Call) -> NDArray[np.float64] | float:
    """A kernel's `weigh`: the class weight of the label; 0 if ignored."""
    params: Any = call.params
    return of_labels(call.inputs["labels"], of_classes(call, "class_weights"), params.ignore_index)


def by_label(call: Call) -> NDArray[np.float64] | float:
    """A kernel's `weigh`: 1 each; 0 where ignored."""
    params: Any = call.params
    return of_labels(call.inputs["labels"], NO_WEIGHTS, params.ignore_index)


def tolerance_of(call: Call, key: str) -> float:
    """How far from 1 a distribution's sum may be; infinity if the caller says it need not be 1."""
    params: Any = call.params
    if getattr(params, "unnormalized_targets", False):
        return np.inf
    return HARD_TOLERANCE if call.inputs[key].dtype == torch.float32 else HALF_TOLERANCE
