"""Cross-entropy: the softmax in one pass over the logits, the gradient in a second."""

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
    _cross_entropy[tiles.grid](
        logits,
        inputs.get("labels"),
        inputs.get("target_probabilities"),
        inputs.get("class_weights"),
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
        params.label_smoothing,
        MAY_IGNORE=params.ignore_index is not None,
        SMOOTH=params.label_smoothing > 0,
        ITEMS=tiles.block_items,
        CLASSES=tiles.block_classes,
        num_warps=warps_of(tiles),
    )


@triton.jit
def _products(factor, z, most):
    """factor (z - most), 0 where the factor is 0 even if z is -inf."""
    return tl.where(factor == 0, 0.0, factor * (z - most))


@triton.jit
def _weight(class_weights, k, classes, CLASSES: tl.constexpr):
    """Of classes k, as (1, classes); 1 each without class weights."""
    weight = tl.full([1, CLASSES], 1.0, tl.float32)
    if class_weights is not None:
        weight = tl.load(class_weights + k, mask=k < classes, other=0.0).to(tl.float32)[None, :]
    return weight


@triton.jit
def _over_classes(
    logits,
    targets,
    class_weights,
    start,
    valid,
    classes,
    positions,
    SMOOTH: tl.constexpr,
    ITEMS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    """The maximum, the sum of e^(z - maximum), and two pairs: sum u and sum u (z - maximum).

    The first pair is of the soft targets, u = w t; the second, followed by the number of possible
    classes, of the even ones, u = w where z > -inf. All terms of a sum have one sign.
    """
    most = tl.full([ITEMS], -float("inf"), tl.float32)
    total = tl.zeros([ITEMS], tl.float64)
    soft_mass = tl.zeros([ITEMS], tl.float64)
    soft_sum = tl.zeros([ITEMS], tl.float64)
    even_mass = tl.zeros([ITEMS], tl.float64)
    even_sum = tl.zeros([ITEMS], tl.float64)
    possible = tl.zeros([ITEMS], tl.int32)
    for first in range(0, classes, CLASSES):
        k = first + tl.arange(0, CLASSES).to(tl.int64)
        z = load_tile(logits, start, k, valid, classes, positions, -float("inf"))
        before, most = most, tl.maximum(most, tl.max(z, 1))
        total = total * rescale(before, most) + tl.sum(shifted_exp(z, most[:, None]), 1)
        # Before the first finite logit nothing was added that could be moved.
        moved = tl.where(before == -float("inf"), 0.0, before - most).to(tl.float64)
        base = tl.where(most == -float("inf"), 0.0, most)[:, None]
        weight = _weight(class_weights, k, classes, CLASSES)
        if targets is not None:
            u = load_tile(targets, start, k, valid, classes, positions, 0.0) * weight
            soft_sum += moved * soft_mass + tl.sum(_products(u, z, base), 1)
            soft_mass += tl.sum(u, 1)
        if SMOOTH:
            finite = z != -float("inf")
            u = tl.where(finite, weight, 0.0)
            even_sum += moved * even_mass + tl.sum(_products(u, z, base), 1)
            even_mass += tl.sum(u, 1)
            possible += tl.sum(finite.to(tl.int32), 1)
    return most, total, soft_mass, soft_sum, even_mass, even_sum, possible


@triton.jit
def _of_label(logits, class_weights, start, label, valid, positions, most, ITEMS: tl.constexpr):
    """What the first pair is where u is the weight of the label at the label, and 0 elsewhere."""
    weight = tl.full([ITEMS], 1.0, tl.float64)
    if class_weights is not None:
        weight = tl.load(class_weights + label).to(tl.float64)
    z = tl.load(logits + start + label * positions, mask=valid, other=0.0).to(tl.float64)
    return weight, tl.where(weight == 0, 0.0, weight * (z - most))


@triton.jit(do_not_specialize=UNSPECIALIZED)
def _cross_entropy(
    logits,
    labels,
    targets,
    class_weights,
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
    smoothing,
    MAY_IGNORE: tl.constexpr,
    SMOOTH: tl.constexpr,
    ITEMS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    valid = i < items
    start = first_elements(i, classes, positions)
    counts = valid
    if labels is not None:
        label, counts = load_labels(labels, i, valid, ignore_index, MAY_IGNORE)
    most, total, soft_mass, soft_sum, even_mass, even_sum, possible = _over_classes(
        logits, targets, class_weights, start, valid, classes, positions, SMOOTH, ITEMS, CLASSES
    )
    if labels is not None:
        soft_mass, soft_sum = _of_label(
            logits, class_weights, start, label, valid, positions, most, ITEMS
        )
    log_total = tl.log(total)
    value = tl.where(soft_mass == 0, 0.0, soft_mass * log_total) - soft_sum
    mass = soft_mass
    soft_share = 1.0
    even_share = tl.zeros([ITEMS], tl.float64)
    if SMOOTH:
        even_share = smoothing / possible.to(tl.float64)
        soft_share = 1.0 - smoothing
        even = even_share * (even_mass * log_total - even_sum)
        value = tl.where(soft_share == 0, even, soft_share * value + even)
        mass = soft_share * soft_mass + even_share * even_mass

    scale = load_outer(outer, i, valid, positions, outer_row_stride, outer_item_stride)
    scale = tl.where(counts, scale, 0.0)
    store_item(sums, values, i, valid, tl.where(counts, value, 0.0))
    if factors is not None:
        store_recipe(log_sum_exps, factors, i, valid, most.to(tl.float64) + log_total, scale)
    if gradient is not None:
        tl.debug_barrier()  # no warp may write over logits that another has yet to read
        of_softmax = (scale * mass / total).to(tl.float32)[:, None]
        of_soft = (scale * soft_share).to(tl.float32)[:, None]
        of_even = (scale * even_share).to(tl.float32)[:, None]
        lost = tl.zeros([ITEMS], tl.int32)
        for first in range(0, classes, CLASSES):
            k = first + tl.arange(0, CLASSES).to(tl.int64)
            z = load_tile(logits, start, k, valid, classes, positions, -float("inf"))
            weight = _weight(class_weights, k, classes, CLASSES)
            if targets is not None:
                t = load_tile(targets, start, k, valid, classes, positions, 0.0)
            else:
                t = (k[None, :] == label[:, None]).to(tl.float32)
            u = of_soft * t
            if SMOOTH:
                u += tl.where(z != -float("inf"), of_even, 0.0)
            g = of_softmax * shifted_exp(z, most[:, None]) - u * weight
            g = tl.where(counts[:, None], g, 0.0)
            lost |= store_gradient(gradient, g, start, k, valid, classes, positions)
        if overflows is not None:
            tl.store(overflows + i, lost.to(tl.int8), mask=valid)
