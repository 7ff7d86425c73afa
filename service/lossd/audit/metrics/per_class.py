"""Accuracy, precision, recall and loss of the rows of each class."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.metrics._groups import FEWEST, Group, findings, is_worse, tested
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.metrics._words import quoted
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.pieces.sums import exact
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup
from lossd.audit.significance import FALSE_DISCOVERY_RATE

_MOST_TOLD = 100  # classes; of more, the worst and the largest
_NAMES_TOLD = 10
_POINTS, _TIMES = 0.1, 1.5  # what a class is worse by, at least, to be a finding
_LABELLED, _CORRECT, _PREDICTED, _FINITE = range(4)


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    sums = ("loss", "squares", "confidence")
    return {"counts": Counts(4, classes)} | {name: Sums(classes) for name in sums}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    classes = pieces["counts"].values.shape[1]
    for place, which in (
        (_LABELLED, rows.labels),
        (_CORRECT, rows.labels[rows.correct]),
        (_PREDICTED, rows.predicted),
        (_FINITE, rows.labels if rows.has_loss.all() else rows.labels[rows.has_loss]),
    ):
        pieces["counts"].add_at(which + place * classes)
    pieces["loss"].add(rows.finite_loss, rows.labels)
    pieces["squares"].add(rows.squared_loss, rows.labels)
    pieces["confidence"].add(rows.confidence, rows.labels)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    counts = pieces["counts"].values
    told = _which(counts)
    untold = int((counts[_LABELLED] >= FEWEST).sum() - (counts[_LABELLED][told] >= FEWEST).sum())
    pairs = [(int(counts[_LABELLED, i]), int(counts[_CORRECT, i])) for i in told]
    tests = tested(pairs, whole.rows, int(counts[_CORRECT].sum()), untold)
    classes = [
        {"class": whole.name_of(i), **_described(pieces, [i]), **test}
        for i, test in zip(told, tests, strict=True)
    ]
    others = sorted(set(range(whole.classes)) - set(told))
    never = np.flatnonzero((counts[_LABELLED] >= FEWEST) & (counts[_PREDICTED] == 0))
    order = never[np.lexsort([never, -counts[_LABELLED][never]])][:_NAMES_TOLD].tolist()
    return {
        "classes": classes,
        "most_told": _MOST_TOLD,
        "others": {"classes": len(others), **_described(pieces, others)} if others else None,
        "without_rows": int((counts[_LABELLED] == 0).sum()),
        "never_predicted": {
            "count": len(never),
            "rows": int(counts[_LABELLED][never].sum()),
            "classes": [whole.name_of(i) for i in order],
        },
        "macro_average": _macro_average(counts),
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "tests": untold + sum(each["p_value"] is not None for each in classes),
    }


def _which(counts: NDArray[np.int64]) -> list[int]:
    """All classes; or half the largest, half those with the lowest accuracy that is sure."""
    classes = counts.shape[1]
    if classes <= _MOST_TOLD:
        return list(range(classes))
    labelled, correct = counts[_LABELLED], counts[_CORRECT]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = correct / labelled
        # Wilson's upper end, but for what it is divided by, which is 1 where rows are many.
        bound = share + 2 * np.sqrt((share * (1 - share) + 1 / labelled) / labelled)
    bound = np.where(labelled >= FEWEST, bound, np.inf)
    numbers = np.arange(classes)
    largest = np.lexsort([numbers, -labelled])[: _MOST_TOLD // 2]
    worst_first = np.lexsort([numbers, bound])
    worst_first = worst_first[~np.isin(worst_first, largest)][: _MOST_TOLD - len(largest)]
    return sorted([*largest.tolist(), *worst_first.tolist()])


def _described(pieces: Pieces, classes: list[int]) -> dict[str, Any]:
    """Of the rows of some classes together. Precision is of the rows predicted as one of them."""
    labelled, correct, predicted, finite = (
        int(each) for each in pieces["counts"].values[:, classes].sum(1)
    )
    loss, squares, confidence = (
        exact(pieces[name].limbs[classes].sum(0)) for name in ("loss", "squares", "confidence")
    )
    either = labelled + predicted
    recall = correct / labelled if labelled else None
    return {
        **Group(labelled, correct, finite, loss, squares).described(),
        "precision": correct / predicted if predicted else None,
        "recall": recall,
        "f1": 2 * correct / either if either else None,
        "predicted": predicted,
        "mean_confidence": float(confidence / labelled) if labelled else None,
    }


def _macro_average(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Means over the classes that have rows, each counting alike; without predictions it is 0."""
    labelled, correct, predicted, _ = counts[:, counts[_LABELLED] > 0]
    if not len(labelled):
        return {"precision": None, "recall": None, "f1": None, "classes": 0}
    return {
        "precision": float(np.mean(correct / np.maximum(predicted, 1))),
        "recall": float(np.mean(correct / labelled)),
        "f1": float(np.mean(2 * correct / (labelled + predicted))),
        "classes": len(labelled),
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    never = result["never_predicted"]
    if never["count"]:
        names = ", ".join(map(quoted, never["classes"]))
        names += ", ..." if never["count"] > len(never["classes"]) else ""
        what = "class is" if never["count"] == 1 else "classes are"
        sentence_ = (
            f"{never['count']} {what} never predicted, though {never['rows']} rows are labelled"
            f" so: {names}."
        )
        yield Finding("never_predicted", "warning", sentence_, (), never["rows"])
    worse = [
        (f"Of rows labelled {quoted(each['class'])},", each)
        for each in result["classes"]
        if each["predicted"] and is_worse(each, _POINTS, _TIMES)
    ]
    yield from findings("worse_class", worse, result["tests"], "classes")


METRIC = Metric(
    name="per_class",
    summary="Accuracy, precision, recall, F1 and loss by label, tested against all other rows.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=(
        "never_predicted",
        "worse_class",
    ),
)
