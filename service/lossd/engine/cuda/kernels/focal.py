"""Softmax focal loss: 1 - p is summed over the other classes, so that nothing cancels."""

from collections.abc import Mapping
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.engine.cuda.kernels._softmax import (
    UNSPECIALIZED,
    first_elements,
    load_labels,
    load_outer,
    load_tile,
    rescale,
    shifted_exp,
    store_gradient,
    store_item,
    store_recipe,
    tiles_of,
    warps_of,
)
from lossd.engine.cuda.kernels._softmax import parts as parts
from lossd.schema import Call


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    params: Any = call.params
    logits = inputs["logits"]
    tiles = tiles_of(logits)
    _focal[tiles.grid](
        logits,
        inputs["labels"],
        inputs.get("alpha"),
        job.outer,
        *job.outer_strides,
        job.sums,
        job.values,
        job.gradients.get("logits"),
        job.overflows,
        job.log_sum_exp,
        job.factor,
        tiles.items,
        tiles.classes,
        tiles.positions,
        -1 if params.ignore_index is None else params.ignore_index,
        params.gamma,
        MAY_IGNORE=params.ignore_index is not None,
        DETACHED=params.modulation_gradient == "detached",
        ITEMS=tiles.block_items,
        CLASSES=tiles.block_classes,
        num_warps=warps_of(tiles),
    )


@triton.jit
def _focus(p, miss, log_p, gamma, DETACHED: tl.constexpr):
    """The value, minus its derivative by log p, which is 0 where 1 - p is."""
    log_p = tl.where(miss < 1e-9, -miss, log_p)
    log_miss = tl.log(tl.where(miss > 0, miss, 1.0))
    modulation = tl.where(miss > 0, tl.exp(gamma * log_miss), 0.0)
    slope = modulation
    if not DETACHED:
        bend = gamma * tl.exp((gamma - 1.0) * log_miss) * p * tl.where(p == 0, 0.0, log_p)
        slope = tl.where(miss > 0, slope - bend, 0.0)
    modulation = tl.where(gamma == 0, 1.0, modulation)
    slope = tl.where(gamma == 0, 1.0, slope)
    return tl.where(modulation == 0, 0.0, -modulation * log_p), slope


@triton.jit(do_not_specialize=UNSPECIALIZED)
def _focal(
    logits,
    labels,
    alpha,
    outer,
    outer_row_stride,
    outer_item_stride,
    sums,
    values,
    gradient,
    overflows,
    log_sum_exps,
    factors,
    items,
    classes,
    positions,
    ignore_index,
    gamma,
    MAY_IGNORE: tl.constexpr,
    DETACHED: tl.constexpr,
    ITEMS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    valid = i < items
    start = first_elements(i, classes, positions)
    label, counts = load_labels(labels, i, valid, ignore_index, MAY_IGNORE)
    z_label = tl.load(logits + start + label * positions, mask=valid, other=0.0).to(tl.float32)

    most = z_label
    others = tl.zeros([ITEMS], tl.float64)
    for first in range(0, classes, CLASSES):
        k = first + tl.arange(0, CLASSES).to(tl.int64)
        z = load_tile(logits, start, k, valid, classes, positions, -float("inf"))
        z = tl.where(k[None, :] == label[:, None], -float("inf"), z)
        before, most = most, tl.maximum(most, tl.max(z, 1))
        others = others * rescale(before, most) + tl.sum(shifted_exp(z, most[:, None]), 1)

    distance = z_label.to(tl.float64) - most
    own = tl.where(z_label == -float("inf"), 0.0, tl.exp(distance))
    total = own + others
    log_p = distance - tl.log(total)
    miss = others / total
    value, slope = _focus(own / total, miss, log_p, gamma, DETACHED)
    if alpha is not None:
        weight = tl.load(alpha + label).to(tl.float64)
        value = tl.where(weight == 0, 0.0, weight * value)
        slope = weight * slope

    scale = load_outer(outer, i, valid, positions, outer_row_stride, outer_item_stride)
    factor = tl.where(counts, scale * slope, 0.0)
    store_item(sums, values, i, valid, tl.where(counts, value, 0.0))
    if factors is not None:
        log_sum_exp = most.to(tl.float64) + tl.log(total)
        store_recipe(log_sum_exps, factors, i, valid, log_sum_exp, factor)
    if gradient is not None:
        tl.debug_barrier()  # no warp may write over logits that another has yet to read
        of_others = (factor / total).to(tl.float32)[:, None]
        of_label = (-factor * miss).to(tl.float32)[:, None]
        lost = tl.zeros([ITEMS], tl.int32)
        for first in range(0, classes, CLASSES):
            k = first + tl.arange(0, CLASSES).to(tl.int64)
            z = load_tile(logits, start, k, valid, classes, positions, -float("inf"))
            g = of_others * shifted_exp(z, most[:, None])
            g = tl.where(k[None, :] == label[:, None], of_label, g)
            g = tl.where(counts[:, None], g, 0.0)
            lost |= store_gradient(gradient, g, start, k, valid, classes, positions)
        if overflows is not None:
            tl.store(overflows + i, lost.to(tl.int8), mask=valid)
