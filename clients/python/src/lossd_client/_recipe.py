"""Gradients of softmax losses, rebuilt from two numbers per item and the caller's own logits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, as_real

Array = NDArray[Any]
BLOCK_ELEMENTS = 64 * 1024  # several passes are made over so many, which a core's cache holds


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
    logits = np.moveaxis(_floats(inputs), axis, 1)
    targets = _targets_of(inputs, recipe, logits, factor, axis)
    gradient = np.empty(logits.shape, logits.dtype)
    step = max(1, BLOCK_ELEMENTS * len(logits) // max(1, logits.size))
    with np.errstate(over="ignore", invalid="ignore"):  # in items that are masked at the end
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            found, of_part = gradient[part], factor[part]
            left = _exponentials(found, logits[part], log_sum_exp[part, None])
            _pull(found, left, logits[part], of_part, targets.of_rows(part))
            if not of_part.all():
                np.copyto(found, 0, where=(of_part == 0)[:, None])
    return np.ascontiguousarray(np.moveaxis(gradient, 1, axis))


@dataclass(frozen=True, slots=True)
class _Targets:
    """What u is made of: `labels`, (rows, 1, ...), or `shares`; `weights`, one per class, or 1."""

    smoothing: float
    labels: Array | None
    shares: Array | None
    weights: Array | None

    def of_rows(self, rows: slice) -> "_Targets":
        """Those of some rows."""
        labels = None if self.labels is None else self.labels[rows]
        shares = None if self.shares is None else self.shares[rows]
        return _Targets(self.smoothing, labels, shares, self.weights)


def _floats(inputs: Mapping[str, ArrayLike]) -> Array:
    logits = as_real("logits", inputs["logits"])
    return logits if logits.dtype.kind == "f" else logits.astype(np.float32)


def _targets_of(
    inputs: Mapping[str, ArrayLike],
    recipe: Mapping[str, Any],
    logits: Array,
    factor: Array,
    axis: int,
) -> _Targets:
    weights = labels = shares = None
    if recipe["weights"]:
        per_class = as_real(recipe["weights"], inputs[recipe["weights"]]).astype(logits.dtype)
        weights = per_class.reshape(1, -1, *([1] * (logits.ndim - 2)))
    if recipe["targets"] == "labels":
        given = as_real("labels", inputs["labels"]).astype(np.int64)
        labels = np.where(factor == 0, 0, given)[:, None]
    else:
        sent = as_real("target_probabilities", inputs["target_probabilities"])
        shares = np.moveaxis(sent, axis, 1).astype(logits.dtype)
    return _Targets(recipe["smoothing"], labels, shares, weights)


def _exponentials(e: Array, logits: Array, log_sum_exp: Array) -> Array:
    """Write probabilities but for a factor near 1, which is returned, (rows, 1, ...).

    Logits minus what their dtype holds of the log-sum-exp lose no digits where these matter.
    """
    held = log_sum_exp.astype(logits.dtype)
    np.exp(np.subtract(logits, held, out=e), out=e)
    left: Array = np.exp(held.astype(np.float64) - log_sum_exp).astype(logits.dtype)
    return left


def _pull(e: Array, left: Array, logits: Array, factor: Array, targets: _Targets) -> None:
    """Turn exponentials, which times `left` are probabilities, into the gradient of some rows."""
    scale = factor[:, None].astype(e.dtype)
    if targets.labels is not None and not targets.smoothing:
        labels = targets.labels
        if targets.weights is not None:
            scale = scale * np.take(targets.weights.reshape(-1), labels)
        e *= scale * left
        np.put_along_axis(e, labels, np.take_along_axis(e, labels, 1) - scale, 1)
        return
    u = _shares(logits, targets)
    u = u if targets.weights is None else u * targets.weights
    e *= u.sum(1, keepdims=True) * left
    e -= u
    e *= scale


def _shares(logits: Array, targets: _Targets) -> Array:
    """t, smoothed."""
    t = targets.shares
    if t is None:
        assert targets.labels is not None
        t = np.zeros_like(logits)
        np.put_along_axis(t, targets.labels, 1.0, 1)
    if targets.smoothing:
        possible = (logits != -np.inf).astype(logits.dtype)
        spread = possible / np.maximum(possible.sum(1, keepdims=True), 1)
        t = (1.0 - targets.smoothing) * t + targets.smoothing * spread
    return t
