"""Accuracy and loss where a column has each of its values, against all other rows."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.metrics._groups import FEWEST, Group, findings, is_worse, tested
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.metrics._words import quoted
from lossd.audit.pieces import Counts, Keyed, Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup
from lossd.audit.significance import FALSE_DISCOVERY_RATE

_POINTS, _TIMES = 0.02, 1.25  # what a slice is worse by, at least, to be a finding


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    columns: dict[str, Piece] = {
        str(i): Keyed(setup.most_slices, counts=3, sums=2) for i in range(len(setup.slices))
    }
    return columns | {"correct": Counts(1)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    pieces["correct"].values[0] += np.count_nonzero(rows.correct)
    for i, name in enumerate(setup.slices):
        column = rows.slices[name]
        pieces[str(i)].add(
            column.names,
            column.codes,
            [np.ones(len(rows), np.bool_), rows.correct, rows.has_loss],
            [rows.finite_loss, rows.squared_loss],
        )


def _group(piece: Keyed, key: str | None) -> Group:
    return Group(*piece.counts(key).tolist(), *piece.exactly(key))


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    keys = [(i, key) for i in range(len(whole.setup.slices)) for key in pieces[str(i)].keys]
    groups = [_group(pieces[str(i)], key) for i, key in keys]
    against = tested(
        [(each.count, each.correct) for each in groups],
        whole.rows,
        int(pieces["correct"].values[0]),
    )
    columns: dict[str, Any] = {}
    for i, name in enumerate(whole.setup.slices):
        others = _group(pieces[str(i)], None)
        columns[name] = {"values": [], "others": others.described() if others.count else None}
    tests = 0
    for (i, key), group, test in zip(keys, groups, against, strict=True):
        tests += test["p_value"] is not None
        told = {"value": key, **group.described(), **test}
        columns[whole.setup.slices[i]]["values"].append(told)
    for each in columns.values():
        each["values"].sort(key=lambda told: (-told["count"], told["value"]))
    return {
        "columns": columns,
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "test": "accuracy against all other rows: Fisher's exact test, two-sided",
        "tests": tests,
        "fewest_rows_tested": FEWEST,
        "most_values": whole.setup.most_slices,
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    worse = [
        (f"Where {quoted(name)} is {quoted(each['value'])},", each)
        for name, column in result["columns"].items()
        for each in column["values"]
        if is_worse(each, _POINTS, _TIMES)
    ]
    yield from findings("worse_slice", worse, result["tests"], "slices")


METRIC = Metric(
    name="per_slice",
    summary="Accuracy and loss by the values of slice columns, tested against all other rows.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("worse_slice",),
)
