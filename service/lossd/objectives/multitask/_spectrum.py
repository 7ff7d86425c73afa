"""Gramians by their cosines and eigenvalues, and what pseudoinverses of them solve."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.objectives.multitask._tasks import Array


def cosines_of(gramian: Array) -> Array:
    """The cosines of gradients with each other, by their Gramian; 0 where one is 0."""
    lengths = np.sqrt(np.diag(gramian))
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    cosines: Array = np.clip(gramian * inverse[:, None] * inverse, -1.0, 1.0)
    np.fill_diagonal(cosines, (lengths > 0).astype(np.float64))
    return cosines


def kept(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which eigenvalues, ascending, are above rounding: K times float64's, of the largest."""
    top = float(values[-1])
    above: NDArray[np.bool_] = (values > top * len(values) * np.finfo(float).eps) & (values > 0.0)
    return above


def pseudo_inverse(gramian: Array) -> Array:
    """The pseudoinverse; what is below rounding counts as 0."""
    size = float(np.abs(gramian).max()) or 1.0
    values, vectors = np.linalg.eigh(gramian / size)
    held = kept(values)
    made: Array = (vectors[:, held] / values[held]) @ vectors[:, held].T / size
    return made


def spread(gramian: Array, weights: Array, preference: Array | None = None) -> float:
    """How far the projections on the gradients' directions are from one size, or a preference's.

    Relative to the sum of |w_k| |g_k|. Tasks without a gradient are left out.
    """
    lengths = np.sqrt(np.diag(gramian))
    size = float(np.abs(weights) @ lengths)
    held = lengths > 0
    if size == 0.0 or not held.any():
        return 0.0
    projections = (gramian @ weights)[held] / lengths[held]
    wanted = np.ones(len(lengths))[held] if preference is None else preference[held]
    squared = float(wanted @ wanted)
    level = float(projections @ wanted) / squared if squared else 0.0
    return float(np.abs(projections - level * wanted).max()) / size
