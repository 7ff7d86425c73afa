"""Tiles of items and classes, and the softmax over them in one pass."""

import math
from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from lossd.schema import Call

_BLOCKS = (16, 128, 1024, 4096)  # classes that one program holds at a time
# Numbers of which one compiled kernel takes every value: those for which others would be compiled
# at the first call that has a 1 or a multiple of 16 there.
UNSPECIALIZED = ("items", "ignore_index", "outer_row_stride", "outer_item_stride")


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a kernel walks over (rows, classes, positions): by the shape of a row alone.

    A program takes `block_items` items, which are neighbours in memory where there are positions,
    and goes through their classes `block_classes` at a time.
    """

    items: int
    classes: int
    positions: int
    block_items: int
    block_classes: int

    @property
    def grid(self) -> tuple[int]:
        """Programs of one launch."""
        return (triton.cdiv(self.items, self.block_items),)


def parts(call: Call) -> int:
    """Partial sums per row: one per item."""
    return math.prod(call.item_shape[1:])


def tiles_of(x: Tensor, most_classes: int = _BLOCKS[-1]) -> Tiles:
    """Tiles of a tensor (rows, classes, *spatial)."""
    rows, classes = x.shape[:2]
    positions = x[:1, :1].numel()
    if positions > 1:
        return Tiles(rows * positions, classes, positions, 64, min(32, _fewest(classes)))
    block_classes = min(most_classes, _fewest(classes))
    return Tiles(rows, classes, 1, max(1, 1024 // block_classes), block_classes)


def _fewest(classes: int) -> int:
    """Few sizes, so that few kernels are compiled."""
    return next((each for each in _BLOCKS if classes <= each), _BLOCKS[-1])


def warps_of(tiles: Tiles) -> int:
    """Warps of a program: 16 elements a thread in the largest tile."""
    return 8 if tiles.block_items * tiles.block_classes >= 2048 else 4


@triton.jit
def first_elements(i, classes, positions):
    """Offsets of the items' first elements; they may lie beyond 2^31."""
    row = i // positions
    return row * classes * positions + (i - row * positions)


@triton.jit
def load_tile(x, start, k, valid, classes, positions, other):
    """Elements k of the items that begin at `start`, as float32."""
    inside = valid[:, None] & (k < classes)[None, :]
    offsets = start[:, None] + k[None, :] * positions
    return tl.load(x + offsets, mask=inside, other=other).to(tl.float32)


@triton.jit
def store_gradient(x, gradient, start, k, valid, classes, positions):
    """Write elements k of the items that begin at `start`, in the dtype of the memory.

    Per item, whether a finite one becomes infinite by that.
    """
    inside = valid[:, None] & (k < classes)[None, :]
    rounded = gradient.to(x.dtype.element_ty)
    tl.store(x + start[:, None] + k[None, :] * positions, rounded, mask=inside)
    lost = tl.abs(rounded.to(tl.float32)) == float("inf")
    return tl.max((lost & (tl.abs(gradient) != float("inf"))).to(tl.int32), 1)


@triton.jit
def load_labels(labels, i, valid, ignore_index, MAY_IGNORE: tl.constexpr):
    """The items' labels, 0 where ignored; and which items count."""
    label = tl.load(labels + i, mask=valid, other=0)
    counts = valid
    if MAY_IGNORE:
        counts = valid & (label != ignore_index)
    return tl.where(counts, label, 0), counts


@triton.jit
def load_outer(outer, i, valid, positions, row_stride, item_stride):
    """What the items count in what is answered."""
    row = i // positions
    item = i - row * positions
    return tl.load(outer + row * row_stride + item * item_stride, mask=valid, other=0)


@triton.jit
def store_item(sums, values, i, valid, value):
    """Write the items' values."""
    tl.store(sums + i, value, mask=valid)
    if values is not None:
        tl.store(values + i, value.to(tl.float32), mask=valid)


@triton.jit
def store_recipe(log_sum_exps, factors, i, valid, log_sum_exp, factor):
    """Write what the items' gradients can be rebuilt from."""
    tl.store(log_sum_exps + i, tl.where(factor == 0, 0.0, log_sum_exp), mask=valid)
    tl.store(factors + i, factor.to(tl.float64), mask=valid)


@triton.jit
def shifted_exp(z, most):
    """e^(z - most), 0 where z is -inf even if nothing is larger."""
    return tl.where(z == -float("inf"), 0.0, tl.exp(z - most))


@triton.jit
def rescale(most, more):
    """What a sum of e^(z - most) is multiplied by when the maximum becomes `more`."""
    return shifted_exp(most, more).to(tl.float64)


@triton.jit
def log_sum_exp(x, start, valid, classes, positions, ITEMS: tl.constexpr, CLASSES: tl.constexpr):
    """The maximum (float32) and the sum of e^(z - maximum) (float64) of each item, in one pass."""
    most = tl.full([ITEMS], -float("inf"), tl.float32)
    total = tl.zeros([ITEMS], tl.float64)
    for first in range(0, classes, CLASSES):
        k = first + tl.arange(0, CLASSES).to(tl.int64)
        z = load_tile(x, start, k, valid, classes, positions, -float("inf"))
        more = tl.maximum(most, tl.max(z, 1))
        total = total * rescale(most, more) + tl.sum(shifted_exp(z, more[:, None]), 1)
        most = more
    return most, total
