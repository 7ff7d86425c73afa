"""One call through its kernel: value and gradient in one pass, cut into slices of rows."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.forms import condense
from lossd.engine.kernels import OVERFLOW, SUSPECT, Job, Kernel, Rows
from lossd.engine.kernels._arrays import as_tensor, dtype_of_array
from lossd.engine.memory import Buffers
from lossd.engine.reduce import gradient_overflows, reduce_sums
from lossd.floats import narrow
from lossd.schema import Call, Result, Warned

SLICE_ELEMENTS = 64 * 1024  # fewer are not worth another thread


class Slices:
    """Threads that share the rows of one call; the bits do not depend on how many they are."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "lossd-slice") if threads > 1 else None

    def run(self, work: Rows, rows: int, elements: int) -> int:
        """All rows; the findings of all slices together."""
        parts = min(self._threads, elements // SLICE_ELEMENTS, rows)
        if self._pool is None or parts <= 1:
            return work(0, rows)
        cuts = [rows * i // parts for i in range(parts + 1)]
        others = [self._pool.submit(work, cuts[i], cuts[i + 1]) for i in range(1, parts)]
        found = work(0, cuts[1])
        for each in others:
            found |= each.result()
        return found

    def close(self) -> None:
        """Let what runs finish."""
        if self._pool is not None:
            self._pool.shutdown()


ONE_SLICE = Slices(1)


def is_possible(call: Call, device: torch.device) -> bool:
    """Whether a kernel may compute a call at all: on the CPU, in float32, with all its checks."""
    options = call.options
    return (
        device.type == "cpu"
        and options.nonfinite == "refuse"
        and call.compute_dtype == torch.float32
        and options.gradient_dtype != "float64"
        and math.prod(call.item_shape) > 0
        and (call.item_shape != () or all([x.numel() for x in call.inputs.values()]))
    )


def shape_of_items(call: Call) -> tuple[int, int]:
    """Rows, and items per row; a value for the whole call is one row of one item."""
    rows, *within = call.item_shape or (1,)
    return rows, math.prod(within)


def compute_by_kernel(
    kernel: Kernel, call: Call, buffers: Buffers, slices: Slices = ONE_SLICE
) -> Result | None:
    """The result; None if the checks may refuse the call, or nothing counts in a mean."""
    rows, per_row = shape_of_items(call)
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    denominator = denominator_of_items(kernel.weigh(call), rows, per_row, row_weights)
    # A sum divides by nothing, and a row without weight has the bits that it has among others.
    if call.reduction == "mean" and not 0.0 < denominator < math.inf:
        return None
    scale = 1.0 / denominator if call.reduction == "mean" and call.cotangent is None else 1.0
    job = job_for(call, outer_of(call, rows, row_weights, scale), buffers)
    found = slices.run(kernel.bind(call, job), rows, call.elements)
    if found & SUSPECT:
        return None
    gradients = {key: call.as_sent(key, as_tensor(each)) for key, each in job.gradients.items()}
    warnings = gradient_overflows(gradients) if found & OVERFLOW else ()
    dense, condensed = condense(call, gradients)
    return result_of(call, job, denominator, dense, condensed, warnings)


@lru_cache(64)
def _alike(scale: float) -> NDArray[np.float32]:
    """The outer of items that all count alike. Nobody writes to it."""
    return np.array([[scale]], np.float32)


def result_of(
    call: Call,
    job: Job,
    denominator: float,
    gradients: Mapping[str, Tensor],
    condensed: Mapping[str, Tensor],
    more_warnings: tuple[Warned, ...],
) -> Result:
    """The result that a finished job comes to, with the gradients that were made of it."""
    rows, per_row = shape_of_items(call)
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    weighted = _weighted(job.sums, row_weights)
    total = float(np.add.reduce(weighted))
    value, _, warnings = reduce_sums(call.reduction, total, denominator)
    return Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=rows * per_row,
        rows=_rows(call, job, weighted, row_weights),
        gradients=gradients,
        condensed=condensed if job.factor is None else {**condensed, **_recipe(call, job)},
        warnings=(*warnings, *more_warnings),
    )


def denominator_of_items(
    weights: NDArray[np.float64] | float,
    rows: int,
    per_row: int,
    row_weights: NDArray[np.float64] | None,
) -> float:
    """What a mean divides by: the items' shares of it, as `Kernel.weigh` has them, by row."""
    if isinstance(weights, np.ndarray):
        of_rows = weights.sum(1) if weights.ndim > 1 else weights
        return float(of_rows.sum() if row_weights is None else of_rows @ row_weights)
    return weights * per_row * (rows if row_weights is None else float(row_weights.sum()))


def outer_of(
    call: Call, rows: int, row_weights: NDArray[np.float64] | None, scale: float
) -> NDArray[np.float32]:
    """What each item's value counts in what is answered, in the shape that a job wants it in."""
    if call.cotangent is not None:
        outer = call.cotangent.to(torch.float64).numpy().reshape(rows, -1)
        if row_weights is not None:
            outer = outer * row_weights[:, None]
    elif row_weights is not None:
        outer = (scale * row_weights)[:, None]
    else:
        return _alike(scale)
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite in it
        return np.ascontiguousarray(outer, np.float32)


def job_for(call: Call, outer: NDArray[np.float32], buffers: Buffers, *, dense: bool = True) -> Job:
    """Memory for all that a call asks for; without `dense` none for its gradients."""
    rows, per_row = shape_of_items(call)
    wanted = [key for key in call.wrt if dense and not (call.by_recipe and key == "logits")]
    more: dict[str, Any] = {}
    if "rows" in call.options.outputs and per_row != 1:
        more["values"] = buffers.take((rows, per_row), np.float32)
    if call.by_recipe:
        more["log_sum_exp"] = buffers.take((rows * per_row,), np.float64)
        more["factor"] = buffers.take((rows * per_row,), np.float64)
    return Job(
        outer=outer,
        sums=buffers.take((rows,), np.float64),
        gradients={key: _gradient(call, key, buffers) for key in wanted},
        **more,
    )


def _gradient(call: Call, key: str, buffers: Buffers) -> NDArray[Any]:
    x, wanted = call.inputs[key], call.options.gradient_dtype
    dtype = dtype_of_array(x.dtype if wanted is None else getattr(torch, wanted))
    place = call.places.get(key)
    if place is None or place.size != x.numel() * dtype.itemsize:
        return buffers.take(tuple(x.shape), dtype)
    return place.view(dtype).reshape(x.shape)


def _weighted(
    sums: NDArray[np.float64], row_weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if row_weights is None:
        return sums
    # A row of weight 0 counts for nothing, even where its value is infinite.
    return np.multiply(sums, row_weights, out=np.zeros_like(sums), where=row_weights != 0)


def _rows(
    call: Call,
    job: Job,
    weighted: NDArray[np.float64],
    row_weights: NDArray[np.float64] | None,
) -> Tensor | None:
    if "rows" not in call.options.outputs:
        return None
    if job.values is None:
        return torch.from_numpy(narrowed(weighted).reshape(call.item_shape))
    values = job.values
    if row_weights is not None:
        with np.errstate(over="ignore"):
            factors = row_weights.astype(np.float32)[:, None]
        values = np.multiply(values, factors, out=np.zeros_like(values), where=factors != 0)
    return torch.from_numpy(values.reshape(call.item_shape))


def narrowed(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """In float32; what it does not hold is infinite in it."""
    rounded = np.empty(x.shape, np.float32)
    narrow(x, rounded)
    return rounded


def _recipe(call: Call, job: Job) -> dict[str, Tensor]:
    if job.log_sum_exp is None or job.factor is None:
        return {}
    return {
        "gradient_recipe_log_sum_exp.logits": torch.from_numpy(
            job.log_sum_exp.reshape(call.item_shape)
        ),
        "gradient_recipe_factor.logits": torch.from_numpy(job.factor.reshape(call.item_shape)),
    }
