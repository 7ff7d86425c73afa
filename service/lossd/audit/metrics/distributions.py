"""How confidence, margin and entropy are distributed."""

from typing import Any

from lossd.audit.buckets import VALUE_ERROR, Buckets
from lossd.audit.metrics._spec import Metric, Pieces, Whole
from lossd.audit.moments import of_buckets
from lossd.audit.pieces import Piece, Sums
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_NAMES = ("confidence", "entropy", "margin")


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    buckets: dict[str, Piece] = {name: Buckets(signed=name == "margin") for name in _NAMES}
    return buckets | {f"{name}_total": Sums(1) for name in _NAMES}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    for name in _NAMES:
        numbers = getattr(rows, name)
        pieces[name].add(numbers)
        pieces[f"{name}_total"].add(numbers)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: of_buckets(pieces[name], pieces[f"{name}_total"].exactly()[0]) for name in _NAMES
    }
    return found | {"quantile_error": VALUE_ERROR}


METRIC = Metric(
    name="distributions",
    summary="Mean, quantiles and histogram of the largest probability, the margin, the entropy.",
    start=_start,
    add=_add,
    finish=_finish,
)
