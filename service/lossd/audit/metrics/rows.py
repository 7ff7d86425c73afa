"""How many rows there were, and which could not be used."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.ids import hash_of
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Kept, Piece
from lossd.audit.rows import FAULTS, Rows
from lossd.audit.setup import Setup

_EXAMPLES = 10
_SENTENCES = {
    "not_finite": "{count} of {seen} rows hold NaN or infinite scores and are left out.",
    "no_possible_class": "{count} of {seen} rows rule every class out and are left out.",
    "label_out_of_range": "{count} of {seen} rows have a label that is no class and are left out.",
}


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    examples = {name: Kept(_EXAMPLES, {}, key=np.uint64) for name in FAULTS.values()}
    return {"seen": Counts(1), "rejected": Counts(len(FAULTS) + 1), **examples}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    pieces["seen"].values[0] += rows.seen
    if len(rows.rejected.faults):
        pieces["rejected"].add_at(rows.rejected.faults.astype(np.int64))
        for fault, name in FAULTS.items():
            ids = rows.rejected.ids[rows.rejected.faults == fault]
            pieces[name].add(hash_of(ids), ids)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    rejected = {
        name: {
            "count": int(pieces["rejected"].values[fault]),
            "ids": pieces[name].ids.tolist(),
        }
        for fault, name in FAULTS.items()
    }
    return {"seen": int(pieces["seen"].values[0]), "used": whole.rows, "rejected": rejected}


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    for name, each in result["rejected"].items():
        if each["count"]:
            sentence = _SENTENCES[name].format(count=each["count"], seen=result["seen"])
            yield Finding(name, "error", sentence, tuple(each["ids"]), each["count"])


METRIC = Metric(
    name="rows",
    summary="Rows seen, used and rejected.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=tuple(FAULTS.values()),
)
