"""Rows of any layout and precision, brought before a kernel as contiguous float32.

A kernel computes items whose classes lie side by side in float32. Calls of that kind are passed
to it as they are. Of others a block of items at a time is copied into a scratch that stays in the
cache: half precision widened, (rows, classes, *spatial) turned so that classes are innermost; and
gradients are copied back the same way, rounded once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.kernels._arrays import as_tensor
from lossd.engine.kernels._job import FINE, OVERFLOW, SUSPECT, Job, Rows
from lossd.engine.kernels._turn import gather, scatter
from lossd.schema import Call

BLOCK_ELEMENTS = 64 * 1024
NO_ROWS: NDArray[np.float32] = np.empty((0, 0), np.float32)
NO_LABELS: NDArray[np.int64] = np.empty(0, np.int64)
NO_WEIGHTS: NDArray[np.float32] = np.empty(0, np.float32)
NOBODY_ASKED: NDArray[np.float64] = np.empty(0)
# The least size that a float16 or bfloat16 gradient rounds to infinity.
_TOO_LARGE = {torch.float16: 65520.0, torch.bfloat16: 3.3961775e38}
Core = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Work:
    """A compiled function of rows, and what it is called with.

    It takes, in this order: `inputs`, by their keys, as (items, classes); `labels` as (items,);
    `constants`; and of the job: outer, values, the recipe's log_sum_exp and factor if it
    `has_recipe`, and the gradients of `wrt` as (items, classes). What there is not (an input that
    the call has not, a gradient that nobody wants) is an array of size 0. Without inputs it takes
    only the rows to begin and to stop at.
    """

    core: Core
    inputs: tuple[str, ...]
    wrt: tuple[str, ...]
    labels: str = ""
    constants: tuple[Any, ...] = ()
    has_recipe: bool = False


@runtime_checkable
class HasWork(Protocol):
    """A kernel of one compiled function."""

    def work(self, call: Call) -> Work:
        """What is called with what; by the call's properties and the class weights alone."""
        ...


def binder(work: Callable[[Call], Work]) -> Callable[[Call, Job], Rows]:
    """The `bind` of a kernel whose `work` says what is called with what."""

    def bind(call: Call, job: Job) -> Rows:
        """Rows of a call."""
        return _rows_of(work(call), call, job)

    return bind


def binder_of_whole(work: Callable[[Call], Work]) -> Callable[[Call, Job], Rows]:
    """As `binder`, of a kernel that computes all rows at once: half precision is widened whole."""

    def bind(call: Call, job: Job) -> Rows:
        """The one value of a call."""
        made = work(call)
        wide = {key: x.float() if key in made.inputs else x for key, x in call.inputs.items()}
        gradients = {
            key: x if x.dtype == np.float32 else np.empty(x.shape, np.float32)
            for key, x in job.gradients.items()
        }
        wide_job = replace(job, gradients=gradients)
        run = _rows_of(made, replace(call, inputs=wide), wide_job)

        def rounded(start: int, stop: int) -> int:
            found = run(start, stop)
            for key, x in gradients.items():
                asked = as_tensor(job.gradients[key])
                if not found & SUSPECT and asked.dtype != torch.float32:
                    asked.copy_(torch.from_numpy(x))
                    found |= _overflow(torch.from_numpy(x), asked.dtype)
            return found

        return rounded

    return bind


def _rows_of(work: Work, call: Call, job: Job) -> Rows:
    if not work.inputs:
        return work.core
    given = call.inputs
    inputs = tuple([given.get(key) for key in work.inputs])
    labels = given.get(work.labels)
    per_row = math.prod(call.item_shape[1:])
    gradients = tuple([job.gradients.get(key) for key in work.wrt])
    extra = _recipe(job) if work.has_recipe else ()
    y = NO_LABELS if labels is None else labels.contiguous().numpy().reshape(-1)
    if per_row == 1 and _are_float32(inputs, gradients):
        return _straight(work.core, job, inputs, y, work.constants, extra, gradients)
    return _Turned(work.core, job, inputs, y, work.constants, extra, gradients, per_row).run


def _are_float32(
    inputs: tuple[Tensor | None, ...], gradients: tuple[NDArray[Any] | None, ...]
) -> bool:
    for x in inputs:
        if x is not None and x.dtype != torch.float32:
            return False
    return all([g is None or g.dtype == np.float32 for g in gradients])


def _recipe(job: Job) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if job.log_sum_exp is None or job.factor is None:
        return NOBODY_ASKED, NOBODY_ASKED
    return job.log_sum_exp, job.factor


def _straight(
    core: Core,
    job: Job,
    inputs: tuple[Tensor | None, ...],
    labels: NDArray[np.int64],
    constants: tuple[Any, ...],
    extra: tuple[NDArray[np.float64], ...],
    gradients: tuple[NDArray[np.float32] | None, ...],
) -> Rows:
    """Without a copy."""
    rows = job.sums.size
    arguments = (
        *[NO_ROWS if x is None else _flat(x.contiguous().numpy()) for x in inputs],
        labels,
        *constants,
        job.outer.reshape(-1),
        job.sums,
        *extra,
        *[NO_ROWS if x is None else _flat(x) for x in gradients],
    )
    first, last = len(inputs) + 1, len(inputs) + 1 + len(constants)

    def work(start: int, stop: int) -> int:
        if stop - start == rows:
            return core(*arguments)
        outer = slice(start, stop) if job.outer.size > 1 else slice(None)
        return core(
            *[x[start:stop] for x in arguments[:first]],
            *constants,
            arguments[last][outer],
            *[x[start:stop] for x in arguments[last + 1 :]],
        )

    return work


def _flat(x: NDArray[Any]) -> NDArray[Any]:
    """As (rows, classes), of what has dimensions of size 1 beyond these."""
    return x if x.ndim == 2 else x.reshape(x.shape[:2])


class _Turned:
    """Through a scratch, in blocks of whole rows, or of a part of one long row."""

    def __init__(
        self,
        core: Core,
        job: Job,
        inputs: tuple[Tensor | None, ...],
        labels: NDArray[np.int64],
        constants: tuple[Any, ...],
        extra: tuple[NDArray[np.float64], ...],
        gradients: tuple[NDArray[Any] | None, ...],
        per_row: int,
    ) -> None:
        self._core, self._job, self._per_row = core, job, per_row
        self._labels, self._constants, self._extra = labels, constants, extra
        self._inputs = [None if x is None else _as_3d(x, per_row) for x in inputs]
        self._gradients = [None if x is None else _as_3d(as_tensor(x), per_row) for x in gradients]
        self._classes = next(x.shape[1] for x in self._inputs if x is not None)
        self._items = max(1, BLOCK_ELEMENTS // max(1, self._classes))

    def run(self, start: int, stop: int) -> int:
        """Rows from `start` to `stop`."""
        per_row = self._per_row
        rows, step = max(1, self._items // per_row), min(self._items, per_row)
        most = min(rows, stop - start) * step
        tensors = (*self._inputs, *self._gradients)
        scratch = [None if x is None else torch.empty((most, self._classes)) for x in tensors]
        are_half = any([x is not None and x.dtype != torch.float32 for x in tensors])
        wide = torch.empty(most * self._classes if are_half and per_row > 1 else 0)
        values = np.empty(most)
        found = FINE
        for first in range(start, stop, rows):
            last = min(first + rows, stop)
            for begin in range(0, per_row, step):
                inside = slice(begin, min(begin + step, per_row))
                found |= self._block(slice(first, last), inside, scratch, wide, values)
                if found & SUSPECT:
                    return found
        return found

    def _block(
        self,
        rows: slice,
        inside: slice,
        scratch: Sequence[Tensor | None],
        wide: Tensor,
        values: NDArray[Any],
    ) -> int:
        count = (rows.stop - rows.start) * (inside.stop - inside.start)
        begin = rows.start * self._per_row + inside.start
        flat = slice(begin, begin + count)
        taken = []
        for x, into in zip(self._inputs, scratch, strict=False):
            if x is None or into is None:
                taken.append(NO_ROWS)
                continue
            gather(x, rows, inside, wide, into[:count])
            taken.append(into[:count].numpy())
        wanted = scratch[len(self._inputs) :]
        values = values[:count]
        found = self._core(
            *taken,
            self._labels[flat],
            *self._constants,
            self._outer_of(rows, inside, flat),
            values,
            *(x[flat] for x in self._extra),
            *(NO_ROWS if x is None else x[:count].numpy() for x in wanted),
        )
        if found & SUSPECT:
            return found
        self._keep(values, rows, inside, flat)
        for x, each in zip(self._gradients, wanted, strict=True):
            if x is not None and each is not None:
                scatter(each[:count], rows, inside, wide, x)
                found |= _overflow(each[:count], x.dtype)
        return found

    def _outer_of(self, rows: slice, inside: slice, flat: slice) -> NDArray[np.float32]:
        outer = self._job.outer
        if outer.size == 1:
            return outer.reshape(1)
        if outer.shape[1] == self._per_row:
            return outer.reshape(-1)[flat]
        return np.repeat(outer[rows, 0], inside.stop - inside.start)

    def _keep(self, values: NDArray[np.float64], rows: slice, inside: slice, flat: slice) -> None:
        if self._job.values is not None:
            with np.errstate(over="ignore"):  # what float32 does not hold is infinite in it
                self._job.values.reshape(-1)[flat] = values
        sums = values.reshape(rows.stop - rows.start, -1).sum(1)
        if inside.start == 0:
            self._job.sums[rows] = sums
        else:
            self._job.sums[rows] += sums


def _as_3d(x: Tensor, per_row: int) -> Tensor:
    """A view as (rows, classes, items per row)."""
    return x.contiguous().view(x.shape[0], -1, per_row)


def _overflow(gradient: Tensor, dtype: torch.dtype) -> int:
    limit = _TOO_LARGE.get(dtype)
    if limit is None:
        return FINE
    least, most = torch.aminmax(gradient)
    return OVERFLOW if max(-least.item(), most.item()) >= limit else FINE
