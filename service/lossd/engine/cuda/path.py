"""One call on a device: in, computed and out in blocks of rows that overlap."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.blocks import BLOCK_BYTES, has_rows, run_in_blocks
from lossd.engine.cuda.kernels import DeviceJob, DeviceKernel, kernel_for
from lossd.engine.cuda.lane import Lane
from lossd.engine.forms import condense
from lossd.engine.fused import job_for, outer_of, result_of
from lossd.engine.kernels._arrays import as_tensor
from lossd.engine.plain import compute_plainly, denominator_of
from lossd.engine.reduce import HALF, gradient_overflow
from lossd.schema import Call, Result, Warned

LEAST_BLOCK_BYTES = 4 * 1024 * 1024  # smaller copies do not reach the bus's speed


def compute_on_lane(call: Call, lane: Lane, block_bytes: int = BLOCK_BYTES) -> Result:
    """A call whose values are checked: by its kernel, or by its plain function.

    Nothing else may use the lane meanwhile.
    """
    kernel = kernel_for(call)
    denominator = math.nan if kernel is None else denominator_of(call)
    if kernel is not None and 0.0 < denominator < math.inf:
        return _Pipeline(call, kernel, lane, denominator).run(block_bytes)
    results: list[Result] = []
    lane.submit(0, lambda: results.append(compute_plainly(call, lane.device, block_bytes)))
    lane.wait(0)
    return results[0]


@dataclass(frozen=True, slots=True)
class _Memory:
    """What one queue needs for a block of rows: a place to copy from, and one to compute in."""

    staged: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    job: DeviceJob


class _Pipeline:
    """Blocks of rows go to the lane's queues in turn, and each queue does its own in order.

    While the device works on a block, the host copies the next one's rows to page-locked memory.
    It waits for a queue only before it writes over what that one may still be copying from, and
    for all of them at the end.
    """

    def __init__(self, call: Call, kernel: DeviceKernel, lane: Lane, denominator: float) -> None:
        self._call, self._kernel, self._lane = call, kernel, lane
        self._denominator = denominator
        self._rows = call.item_shape[0]
        self._condensed_form = call.options.gradient_form in ("row_norms", "top_k")
        by_denominator = call.reduction == "mean" and call.cotangent is None
        weights = None if call.row_weights is None else call.row_weights.numpy()
        outer = outer_of(call, self._rows, weights, 1.0 / denominator if by_denominator else 1.0)
        self._job = job_for(call, outer, lane.staging, dense=not self._condensed_form)
        self._overflows = lane.staging.take((self._rows,), np.int8) if self._half else None
        self._condensed: dict[str, Tensor] = {}
        self._sources = {key: x for key, x in call.inputs.items() if has_rows(call, key)}
        self._shared = {key: x for key, x in call.inputs.items() if not has_rows(call, key)}
        (self._sources if len(outer) > 1 else self._shared)[_OUTER] = torch.from_numpy(outer)
        self._memory: dict[int, _Memory] = {}
        self._turn = 0

    def run(self, block_bytes: int) -> Result:
        """The result. Raises what the last attempt at a single row raised."""
        block_rows = rows_per_block(self._rows, self._bytes_per_row, block_bytes, self._lane.queues)
        try:
            run_in_blocks(self._rows, block_rows, self._start, self._recover)
        finally:  # also when it fails: copies may still run from and to memory that others get
            self._wait()
        warnings: tuple[Warned, ...] = ()
        if self._overflows is not None and self._overflows.any():
            warnings = tuple(gradient_overflow(key, dtype) for key, dtype in self._half.items())
        gradients = {
            key: self._call.as_sent(key, as_tensor(x)) for key, x in self._job.gradients.items()
        }
        return result_of(
            self._call, self._job, self._denominator, gradients, self._condensed, warnings
        )

    @property
    def _dtypes(self) -> dict[str, torch.dtype]:
        """Of the gradients that are computed."""
        call, asked = self._call, self._call.options.gradient_dtype
        keys = [key for key in call.wrt if not (call.by_recipe and key == "logits")]
        return {key: getattr(torch, asked) if asked else call.inputs[key].dtype for key in keys}

    @property
    def _half(self) -> dict[str, torch.dtype]:
        return {key: dtype for key, dtype in self._dtypes.items() if dtype in HALF}

    @property
    def _bytes_per_row(self) -> int:
        """Of inputs and gradients; the rest is small beside them."""
        of_inputs = sum(x[:1].nbytes for x in self._sources.values())
        gradients = self._dtypes.items()
        return of_inputs + sum(self._sources[key][:1].numel() * d.itemsize for key, d in gradients)

    def _start(self, start: int, stop: int) -> None:
        """Send some rows on their way."""
        queue = self._turn % self._lane.queues
        self._turn += 1
        self._lane.wait(queue)
        memory = self._memory.get(queue)
        if memory is None:
            memory = self._memory[queue] = self._open(queue, stop - start)
        for key, source in self._sources.items():
            memory.staged[key][: stop - start].copy_(source[start:stop])
        self._lane.submit(queue, partial(self._compute, memory, start, stop))

    def _recover(self) -> None:
        self._wait()
        self._memory.clear()
        self._lane.release()

    def _wait(self) -> None:
        for queue in range(self._lane.queues):
            self._lane.wait(queue)

    def _open(self, queue: int, rows: int) -> _Memory:
        """Memory of a queue, and in it what all rows share."""
        call, lane = self._call, self._lane
        per_row = math.prod(call.item_shape[1:])
        staged = {key: _staged(lane, (rows, *x.shape[1:]), x) for key, x in self._sources.items()}
        inputs = {
            key: lane.allocate(queue, tuple(x.shape), x.dtype)
            for key, x in (staged | self._shared).items()
        }
        for key, x in self._shared.items():
            lane.submit(queue, partial(inputs[key].copy_, x))
        parts = self._kernel.parts(call)
        of_items = partial(lane.allocate, queue, (rows, per_row))
        of_parts = partial(lane.allocate, queue, (rows, parts))
        job = DeviceJob(
            outer=inputs[_OUTER],
            sums=of_parts(torch.float64),
            values=None if self._job.values is None else of_items(torch.float32),
            gradients={
                # In place of the input, where it fits: this copy of it is nobody else's.
                key: inputs[key]
                if inputs[key].dtype == dtype
                else lane.allocate(queue, tuple(inputs[key].shape), dtype)
                for key, dtype in self._dtypes.items()
            },
            overflows=of_parts(torch.int8) if self._half else None,
            log_sum_exp=of_items(torch.float64) if call.by_recipe else None,
            factor=of_items(torch.float64) if call.by_recipe else None,
        )
        return _Memory(staged, inputs, job)

    def _compute(self, memory: _Memory, start: int, stop: int) -> None:
        """In, compute, out: everything is queued, nothing is waited for."""
        rows = stop - start
        for key, x in memory.staged.items():
            memory.inputs[key][:rows].copy_(x[:rows], non_blocking=True)
        inputs = {key: x[:rows] if key in self._sources else x for key, x in memory.inputs.items()}
        job = memory.job
        some = replace(
            job,
            outer=inputs.pop(_OUTER),
            sums=job.sums[:rows],
            values=_first(job.values, rows),
            gradients={key: x[:rows] for key, x in job.gradients.items()},
            overflows=_first(job.overflows, rows),
            log_sum_exp=_first(job.log_sum_exp, rows),
            factor=_first(job.factor, rows),
        )
        self._kernel.launch(self._call, inputs, some)
        out = partial(_copy_out, start, stop)
        out(self._job.sums, some.sums.sum(1))
        out(self._job.values, some.values)
        if some.overflows is not None:
            out(self._overflows, some.overflows.amax(1))
        self._copy_gradients(some, start, stop)

    def _copy_gradients(self, some: DeviceJob, start: int, stop: int) -> None:
        per_row = math.prod(self._call.item_shape[1:])
        of_items = partial(_copy_out, start * per_row, stop * per_row)
        of_items(self._job.log_sum_exp, _flat(some.log_sum_exp))
        of_items(self._job.factor, _flat(some.factor))
        if not self._condensed_form:
            for key, x in some.gradients.items():
                _to_host(as_tensor(self._job.gradients[key]), start, x)
            return
        as_sent = {key: self._call.as_sent(key, x) for key, x in some.gradients.items()}
        for name, x in condense(self._call, as_sent)[1].items():
            if name not in self._condensed:
                self._condensed[name] = _staged(self._lane, (self._rows, *x.shape[1:]), x)
            _to_host(self._condensed[name], start, x)


_OUTER = "outer"  # beside the inputs, it goes where they go


def rows_per_block(rows: int, bytes_per_row: int, block_bytes: int, queues: int) -> int:
    """As many as fit, but few enough that every queue gets some, if that is worth a copy."""
    fit = block_bytes // max(1, bytes_per_row)
    worth = -(-LEAST_BLOCK_BYTES // max(1, bytes_per_row))
    return max(1, min(fit, max(-(-rows // queues), worth)))


def _staged(lane: Lane, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Page-locked memory, as a tensor."""
    size = math.prod(shape) * like.dtype.itemsize
    return torch.from_numpy(lane.staging.take((size,), np.uint8)).view(like.dtype).view(shape)


def _first(x: Tensor | None, rows: int) -> Tensor | None:
    return None if x is None else x[:rows]


def _flat(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.view(-1)


def _copy_out(start: int, stop: int, to: NDArray[Any] | None, x: Tensor | None) -> None:
    if to is not None and x is not None:
        torch.from_numpy(to)[start:stop].copy_(x, non_blocking=True)


def _to_host(to: Tensor, start: int, x: Tensor) -> None:
    to[start : start + len(x)].copy_(x, non_blocking=True)
