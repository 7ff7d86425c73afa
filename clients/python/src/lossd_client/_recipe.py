"""Gradients of softmax losses, rebuilt from two numbers per item and the caller's own logits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, as_real

Array = NDArray[Any]
BLOCK_ELEMENTS = 128 * 1024  # several passes are made over so many, which a core's cache holds


class Exponentials:
    """e^(z - largest) of the logits of a call: what of its gradient needs no answer.

    They are made when they are first wanted, in the memory that the gradient will be in.
    """

    def __init__(self, inputs: Mapping[str, ArrayLike], class_axis: int | None) -> None:
        self.inputs, self._axis = inputs, 1 if class_axis is None else class_axis
        self._made: tuple[Array, Array, Array] | None = None

    def make(self) -> None:
        """Make them now, if nobody has."""
        if self._made is None:
            logits = np.moveaxis(_floats(self.inputs), self._axis, 1)
            self._made = (logits, *_exponentials(logits))

    def take(self) -> tuple[Array, Array, Array]:
        """Logits, exponentials and largest logits, classes on axis 1; they are made but once."""
        self.make()
        assert self._made is not None
        made, self._made = self._made, None
        return made

    def targets(self, recipe: Mapping[str, Any], logits: Array, factor: Array) -> "_Targets":
        """What the gradient pulls to."""
        return _targets_of(self.inputs, recipe, logits, factor, self._axis)

    def as_sent(self, gradient: Array) -> Array:
        """With classes on the axis that they were sent on."""
        return np.ascontiguousarray(np.moveaxis(gradient, 1, self._axis))


def rebuild(
    exponentials: Exponentials, recipe: Mapping[str, Any], log_sum_exp: Array, factor: Array
) -> Array:
    """The gradient f (p sum(u) - u) of the logits, in their shape; 0 where f is 0.

    u = w t: t is one-hot at the labels or the target probabilities, `smoothing` of it spread over
    the possible classes; w are the class weights. Float64 logits give float64, others float32.
    """
    logits, gradient, most = exponentials.take()
    targets = exponentials.targets(recipe, logits, factor)
    with np.errstate(over="ignore", invalid="ignore"):  # in items that are masked at the end
        left = np.exp(most.astype(np.float64) - log_sum_exp[:, None]).astype(gradient.dtype)
        scale = factor[:, None].astype(gradient.dtype)
        if targets.are_hard:
            _pull_to_labels(gradient, left, scale, targets)
        else:
            for part in _blocks(logits):
                of_part = targets.of_rows(part)
                _pull(gradient[part], left[part], scale[part], logits[part], of_part)
        if not factor.all():
            np.copyto(gradient, 0, where=(factor == 0)[:, None])
    return exponentials.as_sent(gradient)


@dataclass(frozen=True, slots=True)
class _Targets:
    """What u is made of: `labels`, (rows, 1, ...), or `shares`; `weights`, one per class, or 1."""

    smoothing: float
    labels: Array | None
    shares: Array | None
    weights: Array | None

    @property
    def are_hard(self) -> bool:
        """Whether u is 0 but at the label."""
        return self.labels is not None and not self.smoothing

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


def _blocks(logits: Array) -> Iterator[slice]:
    step = max(1, BLOCK_ELEMENTS * len(logits) // max(1, logits.size))
    for start in range(0, len(logits), step):
        yield slice(start, start + step)


def _exponentials(logits: Array) -> tuple[Array, Array]:
    """e^(z - largest), and the largest as (rows, 1, ...)."""
    found = np.empty(logits.shape, logits.dtype)
    most = np.full((len(logits), 1, *logits.shape[2:]), -np.inf, logits.dtype)
    with np.errstate(invalid="ignore"):  # of what the service refuses, or does not count
        for part in _blocks(logits) if logits.size else ():
            logits[part].max(1, keepdims=True, out=most[part])
            np.exp(np.subtract(logits[part], most[part], out=found[part]), out=found[part])
    return found, most


def _pull_to_labels(e: Array, left: Array, scale: Array, targets: _Targets) -> None:
    """Turn exponentials, which times `left` are probabilities, into the gradient."""
    assert targets.labels is not None
    if targets.weights is not None:
        scale = scale * np.take(targets.weights.reshape(-1), targets.labels)
    e *= scale * left
    labels = targets.labels
    np.put_along_axis(e, labels, np.take_along_axis(e, labels, 1) - scale, 1)


def _pull(e: Array, left: Array, scale: Array, logits: Array, targets: _Targets) -> None:
    """As `_pull_to_labels`, of some rows whose u is not 0 at other classes."""
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
