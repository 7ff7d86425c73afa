"""How well confidence tells right rows from wrong ones, on request."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit import confidences
from lossd.audit.confidences import Bins
from lossd.audit.intervals import z_of
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_COVERAGES = (0.5, 0.8, 0.9, 0.95)
_BLIND = 0.55  # confidence of a lower AUROC says next to nothing


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    return confidences.empty()


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    confidences.add(pieces, rows)


def _auroc(bins: Bins) -> dict[str, Any]:
    """The rank sum; pairs within a bin count half, and could all be right or all wrong."""
    right, wrong = bins.correct, bins.count - bins.correct
    rights, wrongs = int(right.sum()), int(wrong.sum())
    if not rights or not wrongs:
        return {"value": None, "error": None, "interval": None}
    below = np.cumsum(wrong) - wrong
    won = math.fsum((right * (below + wrong / 2.0)).tolist())
    tied = math.fsum((right * (wrong / 2.0)).tolist())
    value = won / rights / wrongs
    half = z_of() * _standard_error(value, rights, wrongs)
    return {
        "value": value,
        "error": tied / rights / wrongs,
        "interval": [max(0.0, value - half), min(1.0, value + half)],
    }


def _standard_error(auroc: float, rights: int, wrongs: int) -> float:
    """Hanley and McNeil 1982, eq. 2, of exponential scores."""
    both = auroc * auroc
    among = (rights - 1) * (auroc / (2 - auroc) - both)
    other = (wrongs - 1) * (2 * both / (1 + auroc) - both)
    return math.sqrt(max(auroc * (1 - auroc) + among + other, 0.0) / rights / wrongs)


def _average_precision(hits: Any, misses: Any) -> dict[str, Any]:
    """Bins from those found first. Between the best order within each bin and the worst."""
    from scipy.special import digamma  # slow to import

    found, before = np.cumsum(hits) - hits, np.cumsum(misses) - misses
    total = int(hits.sum())
    if not total:
        return {"value": None, "error": None}

    def of(passed: Any) -> float:
        # sum over i of (found + i) / (found + passed + i)
        start = (found + passed + 1).astype(float)
        return float((hits - passed * (digamma(start + hits) - digamma(start))).sum()) / total

    best, worst = of(before), of(before + misses)
    return {"value": (best + worst) / 2, "error": (best - worst) / 2}


def _at_coverage(bins: Bins, share: float) -> dict[str, Any]:
    """Accuracy of the most confident rows: at least this share of all, of whole fine bins."""
    rows = int(bins.count.sum())
    count, correct = np.cumsum(bins.count[::-1]), np.cumsum(bins.correct[::-1])
    place = int(np.searchsorted(count, share * rows))
    taken = int(count[place]) if rows else 0
    return {
        "asked": share,
        "coverage": taken / rows if rows else None,
        "accuracy": int(correct[place]) / taken if taken else None,
    }


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    bins = confidences.fine(pieces)
    right, wrong = bins.correct, bins.count - bins.correct
    return {
        "auroc": _auroc(bins),
        "average_precision": _average_precision(right[::-1], wrong[::-1]),
        "average_precision_of_errors": _average_precision(wrong, right),
        "right": int(right.sum()),
        "wrong": int(wrong.sum()),
        "accuracy_at_coverage": [_at_coverage(bins, share) for share in _COVERAGES],
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    auroc = result["auroc"]
    if auroc["value"] is not None and auroc["interval"][1] + auroc["error"] < _BLIND:
        yield Finding(
            "blind_confidence",
            "warning",
            f"Confidence does not tell right rows from wrong ones: its AUROC is "
            f"{auroc['value']:.3f}, where 0.5 is chance.",
        )


METRIC = Metric(
    name="confidence_auroc",
    summary="How well confidence tells right rows from wrong ones.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("blind_confidence",),
    default=False,
)
