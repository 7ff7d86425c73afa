"""Accuracy: how often the label is the class of the largest score, or among the five largest."""

from typing import Any

import numpy as np

from lossd.audit.intervals import wilson
from lossd.audit.metrics._spec import Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_TOP = 5


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    return {"by_rank": Counts(_TOP + 1), "weights": Sums(2)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    pieces["by_rank"].add_at(np.minimum(rows.rank, _TOP))
    if rows.weights is not None:
        pieces["weights"].add(rows.weights, rows.correct.astype(np.int64))


def _share(hits: int, count: int) -> dict[str, Any]:
    return {
        "value": hits / count if count else None,
        "correct": hits,
        "interval": wilson(hits, count),
    }


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    by_rank = pieces["by_rank"].values
    result: dict[str, Any] = {"top_1": _share(int(by_rank[0]), whole.rows)}
    if whole.classes > _TOP:
        result["top_5"] = _share(int(by_rank[:_TOP].sum()), whole.rows)
    if whole.setup.has_weights:
        wrong, right = pieces["weights"].exactly()
        result["weighted"] = float(right / (wrong + right)) if wrong + right else None
    return result


METRIC = Metric(
    name="accuracy",
    summary="Share of rows whose label has the largest score, and is among the five largest.",
    start=_start,
    add=_add,
    finish=_finish,
)
