"""How far two distributions are apart, from what two states hold of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.buckets import VALUE_ERROR, Buckets
from lossd.audit.state import State

_GROUPS = 10
_SURPRISE = 0.05


def distances(a: Buckets, b: Buckets) -> dict[str, Any] | None:
    """Distances of the finite numbers of two histograms, `a` the baseline; None of nothing.

    - `psi`: the population stability index over groups of a tenth of the baseline each (half a row
      is added to each); `psi_by_chance` is what one of twenty comparisons of equal distributions
      exceeds with so few rows.
    - `ks`: the largest distance of the two shares below a number; too low by `ks_error` at most.
    - `wasserstein`: the mean distance that rows must move, off by 0.8 % of numbers at most;
      `wasserstein_in_deviations`: in standard deviations of the baseline.
    """
    finite = np.isfinite(a.lows) & np.isfinite(a.highs)
    x, y = a.counts[finite].astype(np.float64), b.counts[finite].astype(np.float64)
    if not x.sum() or not y.sum():
        return None
    middles = (a.lows[finite] + a.highs[finite]) / 2
    f, g = np.cumsum(x) / x.sum(), np.cumsum(y) / y.sum()
    apart = np.abs(f - g)
    moved = float((apart[:-1] * np.diff(middles)).sum())
    mean = float((x * middles).sum() / x.sum())
    deviation = float(np.sqrt((x * (middles - mean) ** 2).sum() / x.sum()))
    return {
        **stability(*_grouped(x, y)),
        "ks": float(apart.max()),
        "ks_error": float(np.maximum(x / x.sum(), y / y.sum()).max()),
        "wasserstein": moved,
        "wasserstein_in_deviations": moved / deviation if deviation else None,
        "value_error": VALUE_ERROR,
        "rows": [int(x.sum()), int(y.sum())],
    }


def stability(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, float]:
    """The population stability index of counts in the same groups, and what chance makes of it."""
    from scipy.special import chdtri

    p, q = (x + 0.5) / (x + 0.5).sum(), (y + 0.5) / (y + 0.5).sum()
    free = max(int(((x + y) > 0).sum()) - 1, 1)
    scale = 1 / x.sum() + 1 / y.sum()
    return {
        "psi": float(((q - p) * np.log(q / p)).sum()),
        "psi_by_chance": float(scale * chdtri(free, _SURPRISE)),
    }


def _grouped(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts in groups of about a tenth of the first each; a bucket is not cut."""
    below = (np.cumsum(x) - x / 2) / x.sum()
    groups = np.minimum((below * _GROUPS).astype(np.int64), _GROUPS - 1)
    return (
        np.bincount(groups, x, minlength=_GROUPS).astype(np.float64),
        np.bincount(groups, y, minlength=_GROUPS).astype(np.float64),
    )


def of_states(a: State, b: State) -> dict[str, Any]:
    """By name, the distances of all histograms that both states hold."""
    found: dict[str, Any] = {}
    for metric in ("loss", "distributions"):
        for key, piece in a.pieces.get(metric, {}).items():
            other = b.pieces.get(metric, {}).get(key)
            if not isinstance(piece, Buckets) or not isinstance(other, Buckets):
                continue
            if piece.signed == other.signed and (metric != "loss" or _same_loss(a, b)):
                found["loss" if metric == "loss" else key] = distances(piece, other)
    return found


def _same_loss(a: State, b: State) -> bool:
    return (a.setup.loss, a.setup.params) == (b.setup.loss, b.setup.params)


def of_classes(
    a: NDArray[np.int64], b: NDArray[np.int64], classes: int, names: list[str] | None
) -> dict[str, Any] | None:
    """How far the shares of the classes are apart among the rows of two samples."""
    if not len(a) or not len(b):
        return None
    x, y = (np.bincount(each, minlength=classes).astype(np.float64) for each in (a, b))
    p, q = x / x.sum(), y / y.sum()
    present = np.flatnonzero(x + y)
    largest = np.argsort(-np.abs(q - p), kind="stable")[:_GROUPS]
    return {
        "total_variation": float(np.abs(q - p).sum() / 2),
        **stability(x[present], y[present]),
        "largest": [
            {
                "class": str(k) if names is None else names[k],
                "baseline": float(p[k]),
                "candidate": float(q[k]),
            }
            for k in largest.tolist()
            if p[k] != q[k]
        ],
        "rows": [len(a), len(b)],
    }
