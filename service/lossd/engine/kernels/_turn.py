"""Matrices turned over in memory, sixteen by sixteen in registers."""

from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from lossd.compiled import compiled
from lossd.engine.kernels._lanes import WIDTH
from lossd.engine.kernels._loads import element

_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_PICK = ir.VectorType(_I32, WIDTH)


def _exchange(builder: Any, rows: list[Any], block: int) -> list[Any]:
    """Exchange the blocks off the diagonal, in every square of two blocks by two."""
    lanes = range(WIDTH)
    upper = [lane if not lane & block else WIDTH + lane - block for lane in lanes]
    lower = [lane + block if not lane & block else WIDTH + lane for lane in lanes]
    found = list(rows)
    for i in range(WIDTH):
        if not i & block:
            pair = rows[i], rows[i + block]
            found[i] = builder.shuffle_vector(*pair, ir.Constant(_PICK, upper))
            found[i + block] = builder.shuffle_vector(*pair, ir.Constant(_PICK, lower))
    return found


@intrinsic
def _turn_tile(
    typing: Any, x: Any, first: Any, stride: Any, y: Any, into: Any, stride_of_y: Any
) -> Any:
    """y[into + j * stride_of_y + i] = x[first + i * stride + j] for i and j below sixteen."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        x, first, stride, y, into, stride_of_y = arguments
        rows = []
        for _ in range(WIDTH):
            at = element(context, builder, sig.args[0], x, first)
            rows.append(builder.load(builder.bitcast(at, ir.PointerType(_VECTOR)), align=4))
            first = builder.add(first, stride)
        for block in (8, 4, 2, 1):
            rows = _exchange(builder, rows, block)
        for row in rows:
            at = element(context, builder, sig.args[3], y, into)
            builder.store(row, builder.bitcast(at, ir.PointerType(_VECTOR)), align=4)
            into = builder.add(into, stride_of_y)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y, types.intp, types.intp), build


@compiled(
    "void(int64, int64, int64, float32[::1], int64, int64, int64, float32[::1], int64, int64,"
    " int64)"
)
def turn(
    count: int,
    height: int,
    width: int,
    x: Any,
    first: int,
    stride: int,
    step: int,
    y: Any,
    into: int,
    stride_of_y: int,
    step_of_y: int,
) -> None:
    """Turn `count` matrices of height x width elements.

    Element (i, j) of matrix n is read at first + n step + i stride + j of x, and written at
    into + n step_of_y + j stride_of_y + i of y. Tiles at the edges overlap others: what is written
    twice is the same. Raises nothing; the caller keeps within the arrays.
    """
    for n in range(count):
        source, target = first + n * step, into + n * step_of_y
        if height < WIDTH or width < WIDTH:
            for i in range(height):
                for j in range(width):
                    y[target + j * stride_of_y + i] = x[source + i * stride + j]
            continue
        for top in range(0, height, WIDTH):
            i = min(top, height - WIDTH)
            for left in range(0, width, WIDTH):
                j = min(left, width - WIDTH)
                _turn_tile(
                    x,
                    source + i * stride + j,
                    stride,
                    y,
                    target + j * stride_of_y + i,
                    stride_of_y,
                )


def gather(x: Tensor, rows: slice, inside: slice, wide: Tensor, into: Tensor) -> None:
    """Copy items of x (rows, classes, items) into (items, classes), as float32.

    `wide` is room for as many float32, for a dtype that must be widened first.
    """
    part = x[rows, :, inside]
    count, classes, items = part.shape
    if items == 1:
        into.copy_(part.squeeze(2))
        return
    first, stride, step, source = inside.start, x.shape[2], classes * x.shape[2], x
    if x.dtype == torch.float32:
        first += rows.start * step
    else:
        source = wide[: part.numel()].view(part.shape).copy_(part)
        first, stride, step = 0, items, classes * items
    flat = source.numpy().reshape(-1), into.numpy().reshape(-1)
    turn(count, classes, items, flat[0], first, stride, step, flat[1], 0, classes, items * classes)


def scatter(found: Tensor, rows: slice, inside: slice, wide: Tensor, into: Tensor) -> None:
    """Copy (items, classes) to where `gather` takes them, rounded once."""
    part = into[rows, :, inside]
    count, classes, items = part.shape
    if items == 1:
        part.squeeze(2).copy_(found)
        return
    first, stride, step, target = inside.start, into.shape[2], classes * into.shape[2], into
    if into.dtype == torch.float32:
        first += rows.start * step
    else:
        target = wide[: part.numel()].view(part.shape)
        first, stride, step = 0, items, classes * items
    flat = found.numpy().reshape(-1), target.numpy().reshape(-1)
    turn(count, items, classes, flat[0], 0, classes, items * classes, flat[1], first, stride, step)
    if target is not into:
        part.copy_(target)
