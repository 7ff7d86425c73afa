"""Rows by the lowest hashes of their ids: of two audits of the same rows, the same ones."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.intervals import wilson
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Kept, Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_EXAMPLES = 10


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    columns: dict[str, Any] = {"label": np.int64, "predicted": np.int64}
    columns |= {"loss": np.float64, "confidence": np.float64}
    return {"rows": Kept(setup.most_sampled, columns, key=np.uint64)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    pieces["rows"].add(
        rows.hashes,
        rows.ids,
        label=rows.labels,
        predicted=rows.predicted,
        loss=rows.loss,
        confidence=rows.confidence,
    )


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    kept = len(pieces["rows"])
    return {
        "kept": kept,
        "of": whole.rows,
        "complete": kept == whole.rows,
        "duplicates": _duplicates(pieces["rows"], whole) if whole.setup.has_ids else None,
    }


def _duplicates(sample: Kept, whole: Whole) -> dict[str, Any]:
    """Ids that come more than once. All rows of an id are in the sample, or none."""
    ids, hashes = sample.ids, sample.column("key")
    # Equal ids follow each other, by their hash and then by themselves.
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.arange(0)
    times = np.diff(np.append(starts, len(ids)))
    many = np.flatnonzero(times > 1)
    examples = starts[many[np.lexsort([hashes[starts[many]], -times[many]])][:_EXAMPLES]]
    surplus = len(ids) - len(starts)
    interval = wilson(len(many), len(starts))
    return {
        "ids": len(many),
        "of_ids": len(starts),
        "share_of_ids": len(many) / len(starts) if len(starts) else None,
        "share_of_ids_interval": interval,
        "surplus_rows": surplus,
        "estimated_surplus_rows": round(surplus * whole.rows / len(ids)) if len(ids) else 0,
        "examples": ids[examples].tolist(),
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    found = result["duplicates"]
    if not found or not found["ids"]:
        return
    count = found["estimated_surplus_rows"]
    if result["complete"]:
        what = "id comes" if found["ids"] == 1 else "ids come"
        sentence = f"{found['ids']} {what} more than once: {count} rows too many."
    else:
        low, high = found["share_of_ids_interval"]
        sentence = (
            f"{found['ids']} of {found['of_ids']} sampled ids come more than once"
            f" ({100 * low:.2g} to {100 * high:.2g} % of all ids): about {count} rows too many."
        )
    yield Finding("duplicate_ids", "warning", sentence, tuple(found["examples"]), count)


METRIC = Metric(
    name="sample",
    summary="A sample of rows by their ids, and ids that come more than once.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("duplicate_ids",),
)
