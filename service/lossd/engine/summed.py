"""Several calls of one tensor: what they share is computed once, their gradients are one sum.

Losses of the softmax of the same logits share its pass. Other kernels are run after each other on
blocks of rows that stay in a core's cache, and what they write is added while it is there.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.compute import pick_kernel
from lossd.engine.fused import (
    ONE_SLICE,
    Slices,
    denominator_of_items,
    job_for,
    outer_of,
    result_of,
    shape_of_items,
)
from lossd.engine.kernels import FINE, SUSPECT, Job, Kernel, Rows
from lossd.engine.kernels._arrays import as_tensor
from lossd.engine.kernels._blocks import Core, Work
from lossd.engine.kernels._one_softmax import Loss, OneSoftmax
from lossd.engine.kernels._parts import core_of_one_softmax
from lossd.engine.memory import Buffers
from lossd.schema import Call, Result

BLOCK_ELEMENTS = 64 * 1024  # of which several tensors fit into a core's cache
_FACTORS = 1e-30, 1e30  # within them float32 holds what a value counts, and sums of it
_LOGITS = "logits"
_UNUSED = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A call by a kernel, and what its value counts in the whole.

    - `key`: the one input that its gradient is of.
    - `factor`: what each item's value counts, weight and denominator included, row weights not.
    - `shared`: how it is computed of a softmax that others share; None if it cannot be.
    """

    call: Call
    kernel: Kernel
    key: str
    denominator: float
    factor: float
    shared: tuple[Core, tuple[Any, ...]] | None

    @property
    def row_weights(self) -> NDArray[np.float64] | None:
        """Of the call."""
        weights = self.call.row_weights
        return None if weights is None else weights.numpy()


def part_of(call: Call, weight: float, device: torch.device) -> Part | None:
    """A call as a part; None where it is to be computed by itself.

    It must have a kernel, and a gradient in float32 that is wanted of one input alone.
    """
    if len(call.wrt) != 1 or not weight or not _is_plain(call):
        return None
    kernel = pick_kernel(call, device)
    if kernel is None:
        return None
    rows, per_row = shape_of_items(call)
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    denominator = denominator_of_items(kernel.weigh(call), rows, per_row, row_weights)
    factor = weight
    if call.reduction == "mean":
        if not 0.0 < denominator < math.inf:
            return None
        factor /= denominator
    least, most = _FACTORS
    if not least < abs(factor) < most or not abs(factor) * _largest_weight(call) < most:
        return None
    return Part(call, kernel, call.wrt[0], denominator, factor, _shareable(kernel, call))


def _largest_weight(call: Call) -> float:
    """Of rows times that of classes, at least 1."""
    weights = [call.inputs[key] for key in ("class_weights", "alpha") if key in call.inputs]
    weights += [] if call.row_weights is None else [call.row_weights]
    return math.prod([max(1.0, float(x.max())) for x in weights if x.numel()])


def _is_plain(call: Call) -> bool:
    asked = call.options
    return (
        call.item_shape != ()
        and call.inputs[call.wrt[0]].dtype == torch.float32
        and asked.gradient_dtype in (None, "float32")
        and not call.by_recipe
        and asked.mining is None
        and call.cotangent is None
        and not call.extras
        and not call.places
    )


def _shareable(kernel: Any, call: Call) -> tuple[Core, tuple[Any, ...]] | None:
    """A compiled function and its constants, of logits whose rows lie side by side in float32."""
    logits = call.inputs.get(_LOGITS)
    if logits is None or not hasattr(kernel, "work"):
        return None
    if logits.ndim != 2 or logits.dtype != torch.float32 or not logits.is_contiguous():
        return None
    if "target_probabilities" in call.inputs:
        return None
    work: Work = kernel.work(call)
    core = core_of_one_softmax(work)
    return None if core is None else (core, work.constants)


def compute_summed(
    parts: Sequence[Part], buffers: Buffers, slices: Slices = ONE_SLICE
) -> tuple[list[Result], Tensor] | None:
    """The parts' results without gradients, and the sum of their gradients, by what they count.

    The key of every part is the same tensor. None where the checks may refuse anything, or a loss
    is not of a form that shares.
    """
    like = parts[0].call.inputs[parts[0].key]
    gradient = buffers.take(tuple(like.shape), np.dtype(np.float32))
    sharing = [part for part in parts if part.shared is not None]
    sharing = sharing if len(sharing) > 1 else []
    softmax = _softmax_of(sharing, gradient)
    others = [part for part in parts if part not in sharing]
    scratch = buffers.take(gradient.shape, gradient.dtype) if others else gradient
    jobs = {id(part): _job_of(part, scratch, buffers) for part in others}
    works = [part.kernel.bind(part.call, jobs[id(part)]) for part in others]
    summed = _Summed(softmax, works, scratch, gradient)
    if slices.run(summed.run, len(gradient), gradient.size) & SUSPECT:
        return None
    values = iter(() if softmax is None else softmax.values)
    results = []
    for part in parts:
        job = jobs.get(id(part)) or Job(outer=_UNUSED, sums=next(values))
        results.append(result_of(part.call, job, part.denominator, {}, {}, ()))
    return results, as_tensor(gradient)


def _softmax_of(parts: Sequence[Part], gradient: NDArray[np.float32]) -> OneSoftmax | None:
    """Of the parts that share it; None of none."""
    if not parts:
        return None
    losses = []
    for part in parts:
        assert part.shared is not None
        core, constants = part.shared
        weights = part.row_weights
        outer = np.array([part.factor]) if weights is None else part.factor * weights
        losses.append(Loss(core, constants, *_labels_of(part.call), outer))
    return OneSoftmax(parts[0].call.inputs[_LOGITS].numpy(), losses, gradient)


def _labels_of(call: Call) -> tuple[NDArray[np.int64] | None, Hashable]:
    """None where the loss takes none; and the memory that they are."""
    labels = call.inputs.get("labels")
    if labels is None:
        return None, None
    return labels.numpy(), (labels.data_ptr(), labels.stride())


def _job_of(part: Part, scratch: NDArray[np.float32], buffers: Buffers) -> Job:
    """Memory for a part whose gradient goes to the scratch, which all share."""
    outer = outer_of(part.call, part.call.item_shape[0], part.row_weights, part.factor)
    job = job_for(part.call, outer, buffers, dense=False)
    return replace(job, gradients={part.key: scratch})


@dataclass(frozen=True, slots=True)
class _Summed:
    """Rows of all parts."""

    softmax: OneSoftmax | None
    works: Sequence[Rows]
    scratch: NDArray[np.float32]
    gradient: NDArray[np.float32]

    def run(self, start: int, stop: int) -> int:
        """Rows from `start` to `stop`."""
        if self.softmax is not None and self.softmax.run(start, stop) & SUSPECT:
            return SUSPECT
        step = max(1, BLOCK_ELEMENTS * len(self.gradient) // max(1, self.gradient.size))
        for first in range(start, stop if self.works else start, step):
            last = min(first + step, stop)
            total, part = self.gradient[first:last], self.scratch[first:last]
            is_first = self.softmax is None
            for work in self.works:
                if work(first, last) & SUSPECT:
                    return SUSPECT
                np.copyto(total, part) if is_first else np.add(total, part, out=total)
                is_first = False
        return FINE
