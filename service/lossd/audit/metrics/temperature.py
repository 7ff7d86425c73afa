"""The temperature that logits should be divided by, on request: found in one pass."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import _temperature_kernel as kernel
from lossd.audit.intervals import z_of
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.pieces.sums import LIMBS, normalise
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_BETAS = np.exp2(np.arange(-12, 13) / 3)  # inverse temperatures; the middle one is 1
_ONE = len(_BETAS) // 2
_RANGE = [float(1 / _BETAS[-1]), float(1 / _BETAS[0])]
_NOTABLE = 0.01  # of the loss: what a finding must at least save
_SURE = 0.9999  # the level of findings
_STEPS = 60


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    betas = len(_BETAS)
    return {
        "sums": Sums(betas, 4),
        "confidences": Sums(betas, kernel.BINS),
        "counts": Counts(2, betas, kernel.BINS),
    }


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    if setup.scores != "logits":
        return
    float32 = rows.scores.dtype == np.float32
    run = kernel.add_temperatures_float32 if float32 else kernel.add_temperatures_float64
    sums, bins, counts = pieces["sums"].limbs, pieces["confidences"].limbs, pieces["counts"].values
    run(rows.scores, rows.labels, rows.largest, rows.correct, _BETAS, sums, bins, counts)
    normalise(sums.reshape(-1, LIMBS))
    normalise(bins.reshape(-1, LIMBS))


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    rows = int(pieces["counts"].values[0, 0].sum())
    result: dict[str, Any] = {
        "temperature": None,
        "interval": None,
        "standard_error": None,
        "interpolation_error": None,
        "loss_before": None,
        "loss_after": None,
        "range": _RANGE,
        "reason": None,
        "curve": [],
    }
    if whole.setup.scores != "logits":
        return result | {"reason": "Scores are probabilities; a temperature is one of logits."}
    if not rows:
        return result | {"reason": "The labels of all rows have probability 0."}
    means = pieces["sums"].values() / rows
    result["left_out"] = whole.rows - rows  # whose label is 0 at any temperature, or nearly so
    result["curve"] = _curve(pieces, means[:, kernel.LOSS], rows)
    result["loss_before"] = float(means[_ONE, kernel.LOSS])
    return result | _best(means, rows)


def _curve(pieces: Pieces, loss: NDArray[np.float64], rows: int) -> list[dict[str, float]]:
    """Mean loss and expected calibration error (15 bins) at each temperature looked at."""
    gaps = pieces["confidences"].values() - pieces["counts"].values[1]
    errors = np.abs(gaps).sum(1) / rows
    return [
        {"temperature": float(1 / beta), "loss": float(loss[i]), "ece": float(errors[i])}
        for i, beta in enumerate(_BETAS)
    ][::-1]


def _best(means: NDArray[np.float64], rows: int) -> dict[str, Any]:
    slope, curvature = means[:, kernel.SLOPE], means[:, kernel.CURVATURE]
    if not curvature.any():
        return {"reason": "The logits of a row are all the same."}
    if slope[0] >= 0 or slope[-1] <= 0:
        side = f"above {_RANGE[1]:g}" if slope[0] >= 0 else f"below {_RANGE[0]:g}"
        return {"reason": f"The loss falls to the end of the range: it is {side}."}
    i = int(np.flatnonzero(slope > 0)[0]) - 1
    low, high = float(_BETAS[i]), float(_BETAS[i + 1])
    width = high - low
    ends = means[i : i + 2]
    value, rising = _quintic(ends, width)
    at = _root(rising)
    roughly = _root(_cubic(ends[:, kernel.SLOPE], ends[:, kernel.CURVATURE], width))
    beta = low + at * width
    # A zero of a mean of slopes: by its spread and its bend, of the logarithm of beta.
    bend = float(rising.deriv()(at)) / width**2
    spread = math.exp(np.interp(at, [0, 1], np.log(ends[:, kernel.SLOPE_SQUARED])))
    error = math.sqrt(spread / rows) / bend / beta if bend > 0 else None
    off = None if error is None else math.exp(z_of() * error)
    return {
        "temperature": 1 / beta,
        "standard_error": None if error is None else error / beta,
        "interval": None if off is None else [1 / beta / off, off / beta],
        "interpolation_error": abs(1 / beta - 1 / (low + roughly * width)),
        "loss_after": value(at),
    }


def _quintic(ends: NDArray[np.float64], width: float) -> tuple[Callable[[float], float], Any]:
    """The polynomial with the values, slopes and curvatures of both ends; and its slope."""
    a, b = ends[0], ends[1]
    start = [
        a[kernel.LOSS],
        a[kernel.SLOPE] * width,
        a[kernel.CURVATURE] * width**2 / 2,
    ]
    left = [
        b[kernel.LOSS] - sum(start),
        b[kernel.SLOPE] * width - start[1] - 2 * start[2],
        b[kernel.CURVATURE] * width**2 - 2 * start[2],
    ]
    rest = np.linalg.solve([[1.0, 1.0, 1.0], [3.0, 4.0, 5.0], [6.0, 12.0, 20.0]], left)
    polynomial = np.polynomial.Polynomial([*start, *rest])
    slope = polynomial.deriv()
    return lambda at: float(polynomial(at)), slope


def _cubic(slopes: NDArray[np.float64], bends: NDArray[np.float64], width: float) -> Any:
    """The slope, from itself and the curvature at both ends."""
    start = [slopes[0], bends[0] * width]
    left = [slopes[1] - sum(start), bends[1] * width - start[1]]
    rest = np.linalg.solve([[1.0, 1.0], [2.0, 3.0]], left)
    return np.polynomial.Polynomial([*start, *rest])


def _root(rising: Any) -> float:
    """Where a function from below 0 at 0 to above 0 at 1 is 0, by halving."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    best, error = result["temperature"], result["standard_error"]
    if best is None or error is None:
        return
    before, after = result["loss_before"], result["loss_after"]
    if abs(best - 1) > z_of(_SURE) * error and before - after > _NOTABLE * before:
        yield Finding(
            "temperature",
            "info",
            f"Dividing the logits by {best:.3f} would lower the mean loss from {before:.4f} to "
            f"{after:.4f} and leave every prediction as it is.",
        )


METRIC = Metric(
    name="temperature",
    summary="The temperature of least mean loss; logits only.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("temperature",),
    default=False,
)
