"""Losses with one value per element: a row is cut into parts, and a program takes some of them."""

import math
from collections.abc import Mapping
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.schema import Call

_TILE = 1024  # elements that one program holds at a time
_BLOCKS = (1, 32)  # columns of shorter rows: few sizes, so that few kernels are compiled
_PART = 64 * 1024  # elements of a row that one program adds up
_UNSPECIALIZED = ("rows", "parts_per_row", "outer_row_stride", "outer_item_stride")


def parts(call: Call) -> int:
    """Partial sums per row: by the length of a row alone."""
    return -(-math.prod(call.item_shape[1:]) // _PART)


def launch_elements(
    formula: Any,
    keys: tuple[str, str],
    inputs: Mapping[str, Tensor],
    job: DeviceJob,
    *,
    weights: Tensor | None = None,
    numbers: tuple[float, float] = (0.0, 0.0),
    symmetric: bool = False,
) -> None:
    """Queue `formula` over all elements of two inputs of one shape.

    - `formula`: a compiled function (x, y, weight, number, number) of float32 to the value and its
      derivative by x. The derivative by y is minus that where `symmetric`, else nobody asks for it.
    - `weights`: one per element of a row, 1 each if absent.
    """
    x, y = (inputs[key] for key in keys)
    rows, columns = x.shape[0], x[:1].numel()
    block_columns = next((each for each in _BLOCKS if columns <= each), _TILE)
    block_rows = _TILE // block_columns
    parts_per_row = job.sums.shape[1]
    _elements[(triton.cdiv(rows, block_rows) * parts_per_row,)](
        x,
        y,
        weights,
        *numbers,
        job.outer,
        *job.outer_strides,
        job.sums,
        job.values,
        job.gradients.get(keys[0]),
        job.gradients.get(keys[1]) if symmetric else None,
        job.overflows,
        rows,
        columns,
        parts_per_row,
        FORMULA=formula,
        PART=_PART,
        ROWS=block_rows,
        COLUMNS=block_columns,
        num_warps=4,
    )


@triton.jit
def softplus(z):
    """log(1 + e^z), from a series that needs no logarithm: exact to rounding for every z."""
    e = tl.exp(-tl.abs(z))
    # log(1 + e) = 2 artanh(r); r <= 1/3, so that what is left out is below 2^-26 of it.
    r = e / (2.0 + e)
    s = r * r
    series = 1.0 / 15.0
    series = series * s + 1.0 / 13.0
    series = series * s + 1.0 / 11.0
    series = series * s + 1.0 / 9.0
    series = series * s + 1.0 / 7.0
    series = series * s + 1.0 / 5.0
    series = series * s + 1.0 / 3.0
    return tl.maximum(z, 0.0) + (2.0 * r + 2.0 * r * s * series)


@triton.jit
def sigmoids(z):
    """The sigmoids of z and of -z; neither is 1 minus the other."""
    e = tl.exp(-tl.abs(z))
    larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
    return tl.where(z >= 0, larger, smaller), tl.where(z >= 0, smaller, larger)


@triton.jit
def _lost(gradient, x):
    """Per row, whether a finite gradient becomes infinite in the dtype of the memory `x`."""
    lost = tl.abs(gradient.to(x.dtype.element_ty).to(tl.float32)) == float("inf")
    return tl.max((lost & (tl.abs(gradient) != float("inf"))).to(tl.int32), 1)


@triton.jit(do_not_specialize=_UNSPECIALIZED)
def _elements(
    x_input,
    y_input,
    weights,
    number_0,
    number_1,
    outer,
    outer_row_stride,
    outer_item_stride,
    sums,
    values,
    x_gradient,
    y_gradient,
    overflows,
    rows,
    columns,
    parts_per_row,
    FORMULA: tl.constexpr,
    PART: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    part = program % parts_per_row
    row = (program // parts_per_row) * ROWS + tl.arange(0, ROWS)
    here = row < rows
    first_column = part * PART
    total = tl.zeros([ROWS], tl.float64)
    lost = tl.zeros([ROWS], tl.int32)
    for first in range(first_column, tl.minimum(first_column + PART, columns), COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        valid = here[:, None] & (column < columns)[None, :]
        at = row[:, None] * columns + column[None, :]
        x = tl.load(x_input + at, mask=valid, other=0).to(tl.float32)
        y = tl.load(y_input + at, mask=valid, other=0).to(tl.float32)
        weight = tl.full([1, COLUMNS], 1.0, tl.float32)
        if weights is not None:
            weight = tl.load(weights + column, mask=column < columns, other=0)
            weight = weight.to(tl.float32)[None, :]
        value, slope = FORMULA(x, y, weight, number_0, number_1)
        value = tl.where(valid, value, 0.0)
        total += tl.sum(value, 1)
        if values is not None:
            tl.store(values + at, value, mask=valid)
        if (x_gradient is not None) or (y_gradient is not None):
            place = row[:, None] * outer_row_stride + column[None, :] * outer_item_stride
            g = tl.where(valid, slope * tl.load(outer + place, mask=valid, other=0), 0.0)
            if x_gradient is not None:
                tl.store(x_gradient + at, g.to(x_gradient.dtype.element_ty), mask=valid)
                if overflows is not None:
                    lost = tl.maximum(lost, _lost(g, x_gradient))
            if y_gradient is not None:
                tl.store(y_gradient + at, (-g).to(y_gradient.dtype.element_ty), mask=valid)
                if overflows is not None:
                    lost = tl.maximum(lost, _lost(g, y_gradient))
    tl.store(sums + row * parts_per_row + part, total, mask=here)
    if overflows is not None:
        tl.store(overflows + row * parts_per_row + part, lost.to(tl.int8), mask=here)
