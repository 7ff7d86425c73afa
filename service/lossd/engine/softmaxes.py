"""Several losses of one tensor of logits: its softmax is computed once, and so is its gradient."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.compute import pick_kernel
from lossd.engine.fused import ONE_SLICE, Slices, denominator_of_items, result_of
from lossd.engine.kernels import ONE_SOFTMAX, SUSPECT, Job
from lossd.engine.kernels._arrays import as_tensor
from lossd.engine.kernels._blocks import Work
from lossd.engine.memory import Buffers
from lossd.schema import Call, Result

_LARGEST_FACTOR = 1e30  # beyond it float32 may not hold the coefficients of a sum
_LOGITS = "logits"
_UNUSED = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Part:
    """A call, how its rows are computed, and what its value counts in the whole.

    `outer` is what each row's value counts, (rows,) or (1,), weight included.
    """

    call: Call
    core: Any
    constants: tuple[Any, ...]
    denominator: float
    outer: NDArray[np.float64]

    @property
    def labels(self) -> tuple[NDArray[np.int64] | None, Hashable]:
        """None where the loss takes none; and the memory that they are."""
        labels = self.call.inputs.get("labels")
        if labels is None:
            return None, None
        return labels.numpy(), (labels.data_ptr(), labels.stride())


def part_of(call: Call, weight: float, device: torch.device) -> Part | None:
    """A call as a part; None where it is to be computed by itself.

    It must be of a loss that a softmax's measures are enough for, of rows by classes in float32
    that lie side by side, and its gradient wanted of the logits alone, if at all.
    """
    if ONE_SOFTMAX is None or not _is_plain(call):
        return None
    kernel: Any = pick_kernel(call, device)
    if kernel is None or not hasattr(kernel, "work"):
        return None
    work: Work = kernel.work(call)
    core = ONE_SOFTMAX.CORES.get(work.core)
    if core is None:
        return None
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    denominator = denominator_of_items(kernel.weigh(call), call.item_shape[0], 1, row_weights)
    factor = weight
    if call.reduction == "mean":
        if not 0.0 < denominator < math.inf:
            return None
        factor /= denominator
    outer = np.array([factor]) if row_weights is None else factor * row_weights
    largest = abs(factor) if row_weights is None else float(np.abs(outer).max())
    if not largest < _LARGEST_FACTOR:
        return None
    return Part(call, core, work.constants, denominator, outer)


def _is_plain(call: Call) -> bool:
    logits = call.inputs.get(_LOGITS)
    return (
        logits is not None
        and logits.ndim == 2
        and logits.dtype == torch.float32
        and logits.is_contiguous()
        and call.inputs.keys() <= {_LOGITS, "labels", "class_weights", "alpha"}
        and call.wrt in ((), (_LOGITS,))
        and not call.by_recipe
        and call.options.mining is None
        and call.cotangent is None
        and not call.extras
    )


def compute_of_one_softmax(
    parts: Sequence[Part], buffers: Buffers, slices: Slices = ONE_SLICE
) -> tuple[list[Result], Tensor] | None:
    """Their results without gradients, and the gradient by the logits of all, by their weights.

    None where the checks may refuse anything, or a loss is not of a form that shares.
    """
    assert ONE_SOFTMAX is not None, "there are parts"
    logits = parts[0].call.inputs[_LOGITS].numpy()
    losses = [
        ONE_SOFTMAX.Loss(part.core, part.constants, *part.labels, part.outer) for part in parts
    ]
    gradient = buffers.take(logits.shape, np.dtype(np.float32))
    shared = ONE_SOFTMAX.OneSoftmax(logits, losses, gradient)
    if slices.run(shared.run, len(logits), logits.size) & SUSPECT:
        return None
    results = []
    for part, values in zip(parts, shared.values, strict=True):
        job = Job(outer=_UNUSED, sums=values)
        results.append(result_of(part.call, job, part.denominator, {}, {}, ()))
    return results, as_tensor(gradient)
