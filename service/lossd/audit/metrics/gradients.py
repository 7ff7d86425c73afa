"""The gradient of cross-entropy by the logits: its length in each row, and whose it is."""

from typing import Any

import numpy as np

from lossd.audit.buckets import VALUE_ERROR, Buckets
from lossd.audit.metrics._spec import Metric, Pieces, Whole
from lossd.audit.moments import of_buckets
from lossd.audit.pieces import Piece, Sums
from lossd.audit.pieces.sums import exact
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_LARGEST = 10


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    return {"el2n": Buckets(), "by_class": Sums(classes)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    length = np.sqrt(rows.residual)
    pieces["el2n"].add(length)
    pieces["by_class"].add(length, rows.labels)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    by_class = pieces["by_class"].values()
    total = exact(pieces["by_class"].limbs.sum(0))
    shares = [each / float(total) if total else None for each in by_class.tolist()]
    order = np.lexsort([np.arange(whole.classes), -by_class])[:_LARGEST].tolist()
    return {
        "el2n": of_buckets(pieces["el2n"], total),
        "quantile_error": VALUE_ERROR,
        "share_by_class": shares if whole.classes <= whole.setup.dense_classes else None,
        "largest_shares": [{"class": whole.name_of(i), "share": shares[i]} for i in order],
    }


METRIC = Metric(
    name="gradients",
    summary="Length of the gradient by the logits (EL2N), and each class's share of it.",
    start=_start,
    add=_add,
    finish=_finish,
)
