"""Signs that what was sent is not what was meant: wrong kind of scores, classes in other order."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.metrics import _lint_kernel as kernel
from lossd.audit.metrics._lint_classes import renumbering
from lossd.audit.metrics._lint_words import CODES, sentences
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Kept, Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_EXAMPLES = 10
_MOST_SAMPLED = 16_384
_ROUNDED = (2, 3, 4)  # digits after the point that probabilities are rounded to
_SAME = 1e-7  # half a unit of float32 near 1
_LEAST_OFF, _MOST_OFF = 0.02, 0.05  # of sums that are 1 but for rounding, of few and many classes
_BITS = {
    "equal_scores": kernel.EQUAL,
    "scores_like_probabilities": kernel.LIKE_PROBABILITIES,
    "scores_like_log_probabilities": kernel.LIKE_LOG_PROBABILITIES,
    "scores_outside_probabilities": kernel.OUTSIDE,
    "probabilities_do_not_sum_to_one": kernel.SUM_OFF,
    "absurd_magnitude": kernel.ABSURD,
}


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    columns: dict[str, Any] = {
        "label": np.int64,
        "predicted": np.int64,
        "log_p": np.float64,
        "confidence": np.float64,
        "largest": np.float64,
        "total": np.float64,
    }
    most = min(setup.most_sampled, _MOST_SAMPLED)
    examples = {name: Kept(_EXAMPLES, {}, key=np.uint64) for name in _BITS}
    return {
        "counts": Counts(kernel.CHECKS),
        "rows": Kept(most, columns, key=np.uint64),
        **examples,
    }


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    bits, counts = np.empty(len(rows), np.uint8), np.zeros(kernel.CHECKS, np.int64)
    logits = setup.scores == "logits"
    scores = (rows.largest, rows.smallest, rows.total, rows.log_sum_exp)
    near = max(_LEAST_OFF, _most_off(2, rows.scores.shape[1]))
    kernel.look(*(np.ascontiguousarray(each) for each in scores), logits, near, bits, counts)
    if counts[kernel.SUM_OFF]:
        off = np.flatnonzero(bits & (1 << kernel.SUM_OFF))
        off = off[_are_rounded(rows.scores[off], rows.total[off])]
        bits[off] &= ~np.uint8(1 << kernel.SUM_OFF)
        counts[kernel.SUM_OFF] -= len(off)
    pieces["counts"].values += counts
    for name, bit in _BITS.items():
        if counts[bit]:
            which = np.flatnonzero(bits & (1 << bit))
            pieces[name].add(rows.hashes[which], rows.ids[which])
    pieces["rows"].add(
        rows.hashes,
        rows.ids,
        label=rows.labels,
        predicted=rows.predicted,
        log_p=rows.log_p,
        confidence=rows.confidence,
        largest=rows.largest,
        total=rows.total,
    )


def _most_off(digits: int, classes: int) -> float:
    """How far from 1 a sum may be by rounding: half a unit a class."""
    return min(_MOST_OFF, 0.5 * 10.0**-digits * classes)


def _are_rounded(scores: NDArray[Any], total: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether all scores of a row end after some digits, and its sum is off by no more."""
    found = np.zeros(len(total), bool)
    for digits in _ROUNDED:
        off = np.abs(total - 1) <= _most_off(digits, scores.shape[1]) + _SAME * scores.shape[1]
        rest = np.flatnonzero(off & ~found)
        x = scores[rest].astype(np.float64)
        found[rest] = (np.abs(x - np.round(x, digits)) <= _SAME).all(1)
    return found


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    counts, sample = pieces["counts"].values, pieces["rows"]
    checks = [
        {
            "check": name,
            "rows": int(counts[bit]),
            "share": int(counts[bit]) / whole.rows if whole.rows else None,
            "ids": pieces[name].ids.tolist(),
        }
        for name, bit in _BITS.items()
    ]
    return {"checks": checks, "sample": _of_sample(sample, whole)}


def _of_sample(sample: Kept, whole: Whole) -> dict[str, Any]:
    """What a coordinated sample of the rows shows; all of them where it is complete."""
    labels, predicted = sample.column("label"), sample.column("predicted")
    n = len(labels)
    log_p, largest = sample.column("log_p"), sample.column("largest")
    total = np.nan_to_num(sample.column("total"))
    dense = min(whole.setup.dense_classes, 1_000)
    found = renumbering(labels, predicted, whole.classes, dense) if n else None
    constant = n > 0 and bool((predicted == predicted[0]).all())
    same = n > 0 and bool((largest == largest[0]).all() and (total == total[0]).all())
    usual = log_p[np.isfinite(log_p)]
    return {
        "kept": n,
        "of": whole.rows,
        "complete": n == whole.rows,
        "labels": len(np.unique(labels)),
        "only_prediction": int(predicted[0]) if constant else None,
        "same_scores": constant and same,
        # The share of labels of other classes, and the share that the model expects.
        "others": float((labels != predicted).mean()) if constant else None,
        "others_expected": float((1 - sample.column("confidence")).mean()) if constant else None,
        "accuracy": float((labels == predicted).mean()) if n else None,
        "mean_loss": float(-usual.mean()) if len(usual) else None,
        "impossible_labels": int(n - len(usual)),
        "smallest_sum": float(total.min()) if n else None,
        "largest_sum": float(total.max()) if n else None,
        "renumbering": None if found is None else found.as_json(),
        "duplicates": _duplicates(sample),
    }


def _duplicates(sample: Kept) -> dict[str, Any]:
    """Rows of the sample whose id came before; equal ids are neighbours in it."""
    ids: NDArray[Any] = sample.ids
    again = np.zeros(len(ids), bool)
    again[1:] = ids[1:] == ids[:-1]
    examples = list(dict.fromkeys(ids[again][: 100 * _EXAMPLES].tolist()))[:_EXAMPLES]
    return {
        "rows": int(again.sum()),
        "share": float(again.mean()) if len(ids) else None,
        "ids": examples,
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    return sentences(result, whole) if whole.rows else ()


METRIC = Metric(
    name="lint",
    summary="Signs that scores are of another kind, or classes in another order, than was said.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=CODES,
)
