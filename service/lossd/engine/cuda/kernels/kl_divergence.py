"""Kullback-Leibler divergence: both softmaxes in one pass, the sum in a second, then gradients."""

from collections.abc import Mapping
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.engine.cuda.kernels._softmax import (
    UNSPECIALIZED,
    first_elements,
    load_outer,
    load_tile,
    log_sum_exp,
    store_gradient,
    store_item,
    tiles_of,
    warps_of,
)
from lossd.engine.cuda.kernels._softmax import parts as parts
from lossd.schema import Call

_MOST_CLASSES = 2048  # at a time: two distributions are held


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    params: Any = call.params
    p, q = (_key(inputs, side) for side in "pq")
    # In the order of KL(a || b).
    a, b = (q, p) if params.direction == "reverse" else (p, q)
    tiles = tiles_of(inputs[a], _MOST_CLASSES)
    _kl_divergence[tiles.grid](
        inputs[a],
        inputs[b],
        job.outer,
        *job.outer_strides,
        job.sums,
        job.values,
        job.gradients.get(a),
        job.gradients.get(b),
        job.overflows,
        tiles.items,
        tiles.classes,
        tiles.positions,
        A_IS_LOGITS=a.endswith("_logits"),
        B_IS_LOGITS=b.endswith("_logits"),
        ITEMS=tiles.block_items,
        CLASSES=tiles.block_classes,
        num_warps=warps_of(tiles),
    )


def _key(inputs: Mapping[str, Tensor], side: str) -> str:
    logits = f"{side}_logits"
    return logits if logits in inputs else f"{side}_log_probabilities"


@triton.jit
def _normalizer(
    x,
    start,
    valid,
    classes,
    positions,
    IS_LOGITS: tl.constexpr,
    ITEMS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    """What is taken from logits to make them log-probabilities, in two steps."""
    most = tl.zeros([ITEMS], tl.float32)
    log_total = tl.zeros([ITEMS], tl.float32)
    if IS_LOGITS:
        most, total = log_sum_exp(x, start, valid, classes, positions, ITEMS, CLASSES)
        log_total = tl.log(total).to(tl.float32)
    return most, log_total


@triton.jit
def _log_p(x, most, log_total, start, k, valid, classes, positions):
    z = load_tile(x, start, k, valid, classes, positions, -float("inf"))
    return (z - most[:, None]) - log_total[:, None]


@triton.jit
def _terms(log_a, log_b):
    """a, log a - log b where that is finite and a is not 0, else 0; and where b is 0 < a."""
    a = tl.where(log_a == -float("inf"), 0.0, tl.exp(log_a))
    impossible = (a != 0) & (log_b == -float("inf"))
    ratio = tl.where((a == 0) | impossible, 0.0, log_a - log_b)
    return a, ratio, impossible


@triton.jit
def _by_a(a, ratio, impossible, value, lost_mass, A_IS_LOGITS: tl.constexpr):
    """The derivative by a's input; none flows through a class where b is 0 < a."""
    if A_IS_LOGITS:
        # a (r + 1) - a sum a (r + 1), where a sums to 1, without the ones.
        missing = tl.where(impossible, 1.0, 0.0) - lost_mass.to(tl.float32)[:, None]
        return a * ((ratio - value.to(tl.float32)[:, None]) - missing)
    else:
        return tl.where(impossible, 0.0, a * (ratio + 1.0))


@triton.jit
def _by_b(a, log_b, impossible, mass, B_IS_LOGITS: tl.constexpr):
    """The derivative by b's input."""
    slope = tl.where(impossible, 0.0, -a)
    if B_IS_LOGITS:
        b = tl.where(log_b == -float("inf"), 0.0, tl.exp(log_b))
        slope += mass.to(tl.float32)[:, None] * b
    return slope


@triton.jit(do_not_specialize=UNSPECIALIZED)
def _kl_divergence(
    a_input,
    b_input,
    outer,
    outer_row_stride,
    outer_item_stride,
    sums,
    values,
    a_gradient,
    b_gradient,
    overflows,
    items,
    classes,
    positions,
    A_IS_LOGITS: tl.constexpr,
    B_IS_LOGITS: tl.constexpr,
    ITEMS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    valid = i < items
    start = first_elements(i, classes, positions)
    a_most, a_log_total = _normalizer(
        a_input, start, valid, classes, positions, A_IS_LOGITS, ITEMS, CLASSES
    )
    b_most, b_log_total = _normalizer(
        b_input, start, valid, classes, positions, B_IS_LOGITS, ITEMS, CLASSES
    )

    # Of the classes where b is not 0 < a: sum a (log a - log b), and sum a. Of the others: sum a.
    value = tl.zeros([ITEMS], tl.float64)
    mass = tl.zeros([ITEMS], tl.float64)
    lost_mass = tl.zeros([ITEMS], tl.float64)
    for first in range(0, classes, CLASSES):
        k = first + tl.arange(0, CLASSES).to(tl.int64)
        log_a = _log_p(a_input, a_most, a_log_total, start, k, valid, classes, positions)
        log_b = _log_p(b_input, b_most, b_log_total, start, k, valid, classes, positions)
        a, ratio, impossible = _terms(log_a, log_b)
        value += tl.sum(a * ratio, 1)
        mass += tl.sum(tl.where(impossible, 0.0, a), 1)
        lost_mass += tl.sum(tl.where(impossible, a, 0.0), 1)

    scale = load_outer(outer, i, valid, positions, outer_row_stride, outer_item_stride)
    store_item(sums, values, i, valid, tl.where(lost_mass > 0, float("inf"), value))
    if (a_gradient is not None) or (b_gradient is not None):
        tl.debug_barrier()  # no warp may write over numbers that another has yet to read
        lost = tl.zeros([ITEMS], tl.int32)
        for first in range(0, classes, CLASSES):
            k = first + tl.arange(0, CLASSES).to(tl.int64)
            log_a = _log_p(a_input, a_most, a_log_total, start, k, valid, classes, positions)
            log_b = _log_p(b_input, b_most, b_log_total, start, k, valid, classes, positions)
            a, ratio, impossible = _terms(log_a, log_b)
            if a_gradient is not None:
                g = scale[:, None] * _by_a(a, ratio, impossible, value, lost_mass, A_IS_LOGITS)
                lost |= store_gradient(a_gradient, g, start, k, valid, classes, positions)
            if b_gradient is not None:
                g = scale[:, None] * _by_b(a, log_b, impossible, mass, B_IS_LOGITS)
                lost |= store_gradient(b_gradient, g, start, k, valid, classes, positions)
        if overflows is not None:
            tl.store(overflows + i, lost.to(tl.int8), mask=valid)
