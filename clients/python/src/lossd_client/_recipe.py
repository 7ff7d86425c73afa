"""Gradients of softmax losses, rebuilt from two numbers per item and the caller's own logits."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, as_real

Array = NDArray[Any]
BLOCK_ELEMENTS = 128 * 1024  # several passes are made over so many, which a core's cache holds
_NEAR = 30.0  # e^z, its sums, and these times what an item counts are normal float32
MOST_THREADS = 4
ELEMENTS_PER_THREAD = 1024 * 1024  # for fewer, to begin another one costs more


class Exponentials:
    """e^(z - shift) of the logits of a call: what of its gradient needs no answer.

    The shift is an item's largest logit, or 0 where those of many items are all near 0.

    They are made when they are first wanted, in the memory that the gradient will be in.
    """

    def __init__(self, inputs: Mapping[str, ArrayLike], class_axis: int | None) -> None:
        self.inputs, self._axis = inputs, 1 if class_axis is None else class_axis
        self._made: tuple[Array, Array, Array] | None = None

    def make_ahead(self) -> None:
        """Make them now, if nobody has; of logits of a wrong shape the service says what it is."""
        if self._made is None:
            with suppress(TypeError, ValueError):
                self._made = self._make()

    def take(self) -> tuple[Array, Array, Array]:
        """Logits, exponentials and shifts, classes on axis 1; another time they are made anew."""
        made, self._made = self._made or self._make(), None
        return made

    def _make(self) -> tuple[Array, Array, Array]:
        logits = np.moveaxis(_floats(self.inputs), self._axis, 1)
        return logits, *_exponentials(logits)

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
    logits, gradient, shift = exponentials.take()
    targets = exponentials.targets(recipe, logits, factor)
    with np.errstate(over="ignore", invalid="ignore"):  # in items that are masked in the end
        left = np.exp(shift.astype(np.float64) - log_sum_exp[:, None]).astype(gradient.dtype)
        scale = factor[:, None].astype(gradient.dtype)

    def pull(rows: slice) -> None:
        of_rows = targets.of_rows(rows)
        if targets.are_hard:
            _pull_to_labels(gradient[rows], left[rows], scale[rows], of_rows)
        else:
            _pull(gradient[rows], left[rows], scale[rows], logits[rows], of_rows)
        if not factor[rows].all():
            np.copyto(gradient[rows], 0, where=(factor[rows] == 0)[:, None])

    _by_blocks(pull, logits, 4 * BLOCK_ELEMENTS if targets.are_hard else BLOCK_ELEMENTS)
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


def _by_blocks(work: Callable[[slice], None], logits: Array, block_elements: int) -> None:
    """Work on all rows, in blocks, where they are many by several threads."""
    step = max(1, block_elements * len(logits) // max(1, logits.size))
    starts, taking = iter(range(0, len(logits), step)), Lock()

    def run() -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # of what does not count, or is refused
            while True:
                with taking:  # one after another: other cores may have other things to do
                    start = next(starts, None)
                if start is None:
                    return
                work(slice(start, start + step))

    threads = min(MOST_THREADS, os.cpu_count() or 1, logits.size // ELEMENTS_PER_THREAD)
    with ThreadPoolExecutor(max(1, threads - 1)) as pool:  # begins no thread before one is needed
        others = [pool.submit(run) for _ in range(threads - 1)]
        run()
        for each in others:
            each.result()


def _exponentials(logits: Array) -> tuple[Array, Array]:
    """e^(z - shift), and the shifts as (rows, 1, ...)."""
    found = np.empty(logits.shape, logits.dtype)
    shift = np.zeros((len(logits), 1, *logits.shape[2:]), logits.dtype)

    def work(rows: slice) -> None:
        z, e = logits[rows], found[rows]
        if z.min() >= -_NEAR and z.max() <= _NEAR:
            np.exp(z, out=e)
        else:
            z.max(1, keepdims=True, out=shift[rows])
            np.exp(np.subtract(z, shift[rows], out=e), out=e)

    if logits.size:
        _by_blocks(work, logits, BLOCK_ELEMENTS)
    return found, shift


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
