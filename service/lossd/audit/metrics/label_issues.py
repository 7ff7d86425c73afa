"""Rows whose labels a model contradicts, by confident learning in one pass."""

import numpy as np

from lossd.audit.confident import TOLERANCE
from lossd.audit.ids import hash_of
from lossd.audit.metrics import _label_issues_kernel as kernel
from lossd.audit.metrics._label_issues_result import bins_of, findings, result_of, scores_of
from lossd.audit.metrics._spec import Metric, Pieces
from lossd.audit.pieces import Counts, Kept, Piece, Sums
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

COLUMNS: dict[str, type[np.float64] | type[np.int64]] = {
    "label": np.int64,
    "predicted": np.int64,
    "probability": np.float64,
    "confidence": np.float64,
}
_TRIED_PER_REVIEWED = 10  # of rows that a model contradicts, about half are contradicted firmly


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    by_class, by_pair = bins_of(setup, classes)
    pairs = (0, 0, 1) if by_pair is None else (classes, classes, len(by_pair))
    return {
        "labels": Counts(classes),
        "probabilities": Sums(classes),
        "by_class": Counts(classes, 2, len(by_class)),
        "by_pair": Counts(*pairs),
        "suspects": Kept(setup.most_listed, COLUMNS, key=np.float64),
        "review": Kept(_TRIED_PER_REVIEWED * setup.most_reviewed, COLUMNS, key=np.uint64),
    }


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    by_class, by_pair = bins_of(setup, len(pieces["labels"].values))
    pieces["labels"].add_at(rows.labels)
    pieces["probabilities"].add(np.clip(1.0 - rows.miss, 0.0, 1.0), rows.labels)
    rest = 1.0 - rows.confidence
    kernel.count(
        rows.confidence,
        rows.confidence.view(np.int64),
        np.maximum(rest, 0.0).view(np.int64),
        rows.labels,
        rows.predicted,
        rows.margin,
        -TOLERANCE,
        by_class.layout,
        pieces["by_class"].values,
        (by_pair or by_class).layout,
        pieces["by_pair"].values,
    )
    _keep(pieces, rows, setup)


def _keep(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    """Offer the contradicted rows to the lists."""
    which = np.flatnonzero(rows.margin < -TOLERANCE)
    log_p, confidence, ids = rows.log_p[which], rows.confidence[which], rows.ids[which]
    columns = {
        "label": rows.labels[which],
        "predicted": rows.predicted[which],
        "probability": np.exp(log_p),
        "confidence": confidence,
    }
    score = scores_of(
        setup.issue_ranking, log_p, confidence, rows.margin[which], rows.residual[which]
    )
    pieces["suspects"].add(score, ids, **columns)
    pieces["review"].add(hash_of(ids), ids, **columns)


METRIC = Metric(
    name="label_issues",
    summary="Rows that look mislabelled, and which classes are labelled as which.",
    start=_start,
    add=_add,
    finish=result_of,
    findings=findings,
    codes=("mislabelled_rows",),
)
