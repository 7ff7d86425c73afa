"""Calibration: whether a confidence of 0.9 is right nine times in ten.

Bins are (low, high], as in Guo et al. 2017; those of torchmetrics and netcal are [low, high), and
torchmetrics has one more, of confidence 1. The parts of the Brier score are of its classes, each
calibrated by isotonic regression over as many bins of its probability as the result says. Weights
of rows do not count.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import _confidence_kernel as kernel
from lossd.audit import confidences
from lossd.audit.confidences import Bins
from lossd.audit.intervals import clopper_pearson, of_mean, z_of
from lossd.audit.isotonic import pooled
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.moments import moments
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.pieces.sums import LIMBS, MOST
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_BINS = 15
_FINE_CLASSES, _FINE = 128, 120  # up to so many classes each has so many bins, beyond it `_BINS`
_NOTABLE = 0.01  # gaps and errors below are never a finding
_SURE = 0.9999  # the level of findings
_FEW = 30  # rows of which there is no finding


def _class_bins(classes: int, setup: Setup) -> tuple[int, int]:
    if classes > setup.dense_classes:
        return 0, _BINS
    return classes, _FINE if classes <= _FINE_CLASSES else _BINS


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    shape = _class_bins(classes, setup)
    return confidences.empty() | {
        "class_counts": Counts(2, *shape),
        "class_sums": Sums(*shape),
        "residual": Sums(1),
        "squared_residual": Sums(1),
        "outside": Counts(1),
    }


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    confidences.add(pieces, rows)
    pieces["residual"].add(rows.residual)
    pieces["squared_residual"].add(np.minimum(rows.residual, MOST) ** 2)
    if setup.scores == "probabilities":
        outside = (rows.smallest < 0) | (rows.largest > 1)
        pieces["outside"].values[0] += np.count_nonzero(outside)
    counts = pieces["class_counts"].values
    if counts.size:
        float32 = rows.scores.dtype == np.float32
        run = kernel.add_classes_float32 if float32 else kernel.add_classes_float64
        fixed = np.zeros(counts.shape[1:], np.int64)
        is_logits = setup.scores == "logits"
        limbs = pieces["class_sums"].limbs
        run(rows.scores, rows.log_sum_exp, rows.labels, is_logits, counts, limbs, fixed)


def _error(bins: Bins) -> float | None:
    """Expected calibration error."""
    rows = int(bins.count.sum())
    return float(np.abs(bins.confidence - bins.correct).sum() / rows) if rows else None


def _variances(bins: Bins) -> NDArray[np.float64]:
    """Of the number of right rows in each bin of a calibrated model."""
    mean = bins.confidence / np.maximum(bins.count, 1)
    return bins.confidence * np.clip(1 - mean, 0, None)


def _noise(bins: Bins) -> dict[str, float | None]:
    """What the expected calibration error of a calibrated model would be, by chance alone."""
    rows = int(bins.count.sum())
    if not rows:
        return {"mean": None, "standard_deviation": None}
    variance = _variances(bins) / rows**2
    return {
        "mean": float(np.sqrt(variance * 2 / math.pi).sum()),
        "standard_deviation": math.sqrt(float(variance.sum()) * (1 - 2 / math.pi)),
    }


def _debiased(bins: Bins) -> float | None:
    """Root of the mean squared gap, less what chance adds to it (Kumar et al. 2019, section 4)."""
    large = bins.count > 1
    count, rows = bins.count[large], int(bins.count.sum())
    if not rows:
        return None
    accuracy = bins.correct[large] / count
    squares = bins.gaps[large] ** 2 - accuracy * (1 - accuracy) / (count - 1)
    return math.sqrt(max(float((count * squares).sum()) / rows, 0.0))


def _classwise(pieces: Pieces, whole: Whole) -> float | None:
    """Mean over classes of the error of the class's probability, in `_BINS` bins."""
    counts, limbs = pieces["class_counts"].values, pieces["class_sums"].limbs
    if not counts.size or not whole.rows:
        return None
    width = counts.shape[2] // _BINS
    sums = Sums(counts.shape[1], _BINS)
    sums.limbs = limbs.reshape(counts.shape[1], _BINS, width, LIMBS).sum(2)
    right = counts[1].reshape(counts.shape[1], _BINS, width).sum(2)
    gaps = np.abs(sums.values() - right).sum(1) / whole.rows
    return float(gaps.mean())


def _brier(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    """Mean of |p - onehot|^2, which is miscalibration - discrimination + uncertainty."""
    total, squares = (pieces[name].exactly()[0] for name in ("residual", "squared_residual"))
    found = moments(whole.rows, total, squares)
    parts = ("miscalibration", "discrimination", "uncertainty", "bins")
    result = {"value": found.mean, "interval": found.interval, **dict.fromkeys(parts)}
    counts, rows = pieces["class_counts"].values, whole.rows
    if found.mean is None or not counts.size:
        return result
    shares = counts[1].sum(1) / rows
    uncertainty = float((shares * (1 - shares)).sum())
    left = _recalibrated(counts) / rows
    numbers = (found.mean - left, uncertainty - left, uncertainty, counts.shape[2])
    return result | dict(zip(parts, numbers, strict=True))


def _recalibrated(counts: NDArray[np.int64]) -> float:
    """The Brier sum that isotonic regression of each class's probability would leave."""
    blocks = (pooled(counts[1, k], counts[0, k]) for k in range(counts.shape[1]))
    return math.fsum(hits * (1 - hits / count) for each in blocks for hits, count in each)


def _rows_of(bins: Bins) -> list[dict[str, Any]]:
    """The reliability diagram."""
    n, number = bins.count.tolist(), len(bins.count)
    return [
        {
            "low": i / number,
            "high": (i + 1) / number,
            "count": n[i],
            "confidence": float(bins.confidence[i] / n[i]) if n[i] else None,
            "accuracy": int(bins.correct[i]) / n[i] if n[i] else None,
            "interval": clopper_pearson(int(bins.correct[i]), n[i]),
        }
        for i in range(number)
    ]


def _gap(bins: Bins, pieces: Pieces) -> dict[str, Any]:
    rows = int(bins.count.sum())
    if not rows:
        return dict.fromkeys(("value", "interval", "standard_error", "standard_error_by_chance"))
    gap = float((bins.confidence.sum() - bins.correct.sum()) / rows)
    variance = max(float(pieces["squares"].exactly()[0] / rows) - gap * gap, 0.0)
    return {
        "value": gap,
        "interval": of_mean(gap, variance, rows),
        "standard_error": math.sqrt(variance / rows),
        "standard_error_by_chance": math.sqrt(float(_variances(bins).sum())) / rows,
    }


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    bins = confidences.equal_width(pieces, _BINS)
    mass = confidences.equal_mass(pieces, _BINS)
    asked = whole.setup.calibration_bins
    rows = whole.rows
    return {
        "ece": {
            f"equal_width_{_BINS}": _error(bins),
            f"equal_width_{asked}": _error(confidences.equal_width(pieces, asked)),
            f"equal_mass_{_BINS}": _error(mass),
            "classwise": _classwise(pieces, whole),
            "debiased_l2": _debiased(mass),
            "maximum": float(np.abs(bins.gaps).max()) if rows else None,
        },
        "ece_by_chance": _noise(bins),
        "brier": _brier(pieces, whole),
        "mean_confidence": float(bins.confidence.sum() / rows) if rows else None,
        "accuracy": int(bins.correct.sum()) / rows if rows else None,
        "gap": _gap(bins, pieces),
        "outside": int(pieces["outside"].values[0]),
        "most_classes": whole.setup.dense_classes,
        "bins": _rows_of(bins),
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    gap, error = result["gap"], result["ece"][f"equal_width_{_BINS}"]
    if whole.rows < _FEW or result["outside"]:
        return
    sure = z_of(_SURE) * max(gap["standard_error"], gap["standard_error_by_chance"])
    if abs(gap["value"]) > _NOTABLE + sure:
        over = gap["value"] > 0
        yield Finding(
            "overconfident" if over else "underconfident",
            "warning",
            f"The model is {'over' if over else 'under'}confident: its mean confidence is "
            f"{result['mean_confidence']:.3f}, its accuracy {result['accuracy']:.3f}, a gap of "
            f"{abs(gap['value']):.3f} (95 % interval {_interval(gap)}).",
        )
        return
    chance = result["ece_by_chance"]
    if error > _NOTABLE + chance["mean"] + z_of(_SURE) * chance["standard_deviation"]:
        yield Finding(
            "miscalibrated",
            "warning",
            f"Confidence is off in both directions: the expected calibration error is {error:.3f}, "
            f"where chance alone would give {chance['mean']:.3f}.",
        )


def _interval(gap: Mapping[str, Any]) -> str:
    if gap["interval"] is None:
        return "unknown"
    low, high = sorted(abs(each) for each in gap["interval"])
    return f"{low:.3f} to {high:.3f}"


METRIC = Metric(
    name="calibration",
    summary="Confidence against accuracy: calibration errors, Brier score, reliability diagram.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=(
        "overconfident",
        "underconfident",
        "miscalibrated",
    ),
)
