"""Gradients of softmax losses, rebuilt from two numbers per item and the caller's own logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, as_real

Array = NDArray[Any]


def rebuild(
    inputs: Mapping[str, ArrayLike],
    recipe: Mapping[str, Any],
    log_sum_exp: Array,
    factor: Array,
    class_axis: int | None,
) -> Array:
    """The gradient f (p sum(u) - u) of the logits, in their shape; 0 where f is 0.

    u = w t: t is one-hot at the labels or the target probabilities, `smoothing` of it spread over
    the possible classes; w are the class weights. Float64 logits give float64, others float32.
    """
    axis = 1 if class_axis is None else class_axis
    logits = np.moveaxis(as_real("logits", inputs["logits"]), axis, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # in items that are masked at the end
        gradient = _unmasked(logits, inputs, recipe, log_sum_exp, factor, axis)
    np.copyto(gradient, 0, where=(factor == 0)[:, None])
    return np.ascontiguousarray(np.moveaxis(gradient, 1, axis))


def _unmasked(
    logits: Array,
    inputs: Mapping[str, ArrayLike],
    recipe: Mapping[str, Any],
    log_sum_exp: Array,
    factor: Array,
    axis: int,
) -> Array:
    p = _softmax(logits, log_sum_exp)
    weights = None
    if recipe["weights"]:
        per_class = as_real(recipe["weights"], inputs[recipe["weights"]]).astype(p.dtype)
        weights = per_class.reshape(1, -1, *([1] * (p.ndim - 2)))
    if recipe["targets"] == "labels" and not recipe["smoothing"]:
        return _at_labels(p, _labels(inputs, factor), weights, factor)
    u = _targets(logits, inputs, recipe, factor, axis)
    u = u if weights is None else u * weights
    gradient: Array = (p * u.sum(1, keepdims=True) - u) * _along(factor, p)
    return gradient


def _softmax(logits: Array, log_sum_exp: Array) -> Array:
    """Probabilities; both sides are taken relative to the largest logit, which keeps the digits."""
    largest = logits.max(1, keepdims=True)
    rest = (log_sum_exp[:, None] - largest.astype(np.float64)).astype(logits.dtype)
    p: Array = logits - largest
    p -= rest
    return np.exp(p, out=p)


def _along(per_item: Array, like: Array) -> Array:
    return per_item[:, None].astype(like.dtype)


def _labels(inputs: Mapping[str, ArrayLike], factor: Array) -> Array:
    labels = as_real("labels", inputs["labels"]).astype(np.int64)
    return np.where(factor == 0, 0, labels)[:, None]


def _at_labels(p: Array, labels: Array, weights: Array | None, factor: Array) -> Array:
    scale = _along(factor, p)
    if weights is not None:
        scale = scale * np.take(weights.reshape(-1), labels)
    p *= scale
    np.put_along_axis(p, labels, np.take_along_axis(p, labels, 1) - scale, 1)
    return p


def _targets(
    logits: Array,
    inputs: Mapping[str, ArrayLike],
    recipe: Mapping[str, Any],
    factor: Array,
    axis: int,
) -> Array:
    if recipe["targets"] == "labels":
        t = np.zeros_like(logits)
        np.put_along_axis(t, _labels(inputs, factor), 1.0, 1)
    else:
        sent = as_real("target_probabilities", inputs["target_probabilities"])
        t = np.moveaxis(sent, axis, 1).astype(logits.dtype)
    share = recipe["smoothing"]
    if share:
        possible = (logits != -np.inf).astype(logits.dtype)
        spread = possible / np.maximum(possible.sum(1, keepdims=True), 1)
        t = (1.0 - share) * t + share * spread
    return t
