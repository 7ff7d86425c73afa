"""Which classes are taken for which."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lossd.audit.metrics._spec import Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Piece, Tallies
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_MOST_TOLD = 100  # classes whose counts are all told
_PAIRS_TOLD = 1_000
_MOST_CONFUSED = 20


def _is_dense(setup: Setup, classes: int) -> bool:
    return classes <= setup.dense_classes


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    labels: dict[str, Piece] = {"labels": Counts(classes)}
    if _is_dense(setup, classes):
        return labels | {"counts": Counts(classes, classes)}
    return labels | {"pairs": Tallies(setup.most_pairs, below=classes**2)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    classes = len(pieces["labels"].values)
    pieces["labels"].add_at(rows.labels)
    pairs = rows.labels * classes + rows.predicted
    if "counts" in pieces:
        pieces["counts"].add_at(pairs)
    else:
        pieces["pairs"].add(pairs[~rows.correct])


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    dense = _is_dense(whole.setup, whole.classes)
    if dense:
        counts = pieces["counts"].values
        wrong = counts * ~np.eye(whole.classes, dtype=np.bool_)
        numbers = np.flatnonzero(wrong)
        found, others = wrong.reshape(-1)[numbers], 0
    else:
        numbers, found, others = (
            pieces["pairs"].numbers,
            pieces["pairs"].counts,
            pieces["pairs"].others,
        )
    order = np.lexsort([numbers, -found])[:_PAIRS_TOLD]
    told = list(_told(numbers[order].tolist(), found[order].tolist(), pieces, whole))
    result: dict[str, Any] = {"dense": dense and whole.classes <= _MOST_TOLD}
    if result["dense"]:
        result["counts"] = counts.tolist()
    else:
        result["pairs"] = [
            {key: each[key] for key in ("label", "predicted", "count")} for each in told
        ]
        result["pairs_told"] = _PAIRS_TOLD
        result["others"] = int(found.sum()) + others - sum(each["count"] for each in told)
        result["uncounted"] = others
    return result | {"most_confused": told[:_MOST_CONFUSED]}


def _told(
    numbers: list[int], counts: list[int], pieces: Pieces, whole: Whole
) -> Iterable[dict[str, Any]]:
    """The pairs by the names of their classes; `share` is of the rows of the label."""
    labels = pieces["labels"].values
    for number, count in zip(numbers, counts, strict=True):
        label, predicted = divmod(number, whole.classes)
        yield {
            "label": whole.name_of(label),
            "predicted": whole.name_of(predicted),
            "count": count,
            "share": count / int(labels[label]) if labels[label] else None,
        }


METRIC = Metric(
    name="confusion",
    summary="Rows by label and predicted class.",
    start=_start,
    add=_add,
    finish=_finish,
)
