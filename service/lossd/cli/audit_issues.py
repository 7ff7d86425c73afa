"""Label issues as tables beside a report: issues.parquet and issues.csv."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lossd.audit.second_pass import Issues
from lossd.cli.tables import TableWriter, writing
from lossd.cli.whole_file import whole_file

_NUMBERS = ("score", "probability", "suggested_probability")


@dataclass(frozen=True, slots=True)
class IssueFiles:
    """The two tables, open. Classes are written by their names, or else their numbers."""

    table: TableWriter
    lines: list[Any]  # the writer of CSV, once there is a schema
    path: Path

    def write(self, issues: Issues, classes: Sequence[str] | None) -> None:
        """Add issues of a second pass."""
        names = None if classes is None else np.array(classes, np.str_)

        def named(x: Any) -> Any:
            return x.astype(np.str_) if names is None else names[x]

        self._write(
            issues.ids,
            named(issues.label),
            named(issues.suggested),
            [getattr(issues, name) for name in _NUMBERS],
        )

    def write_listed(self, listed: Sequence[Mapping[str, Any]]) -> None:
        """Add the issues that a report lists."""
        ids, labels, suggested = ([x[key] for x in listed] for key in ("id", "label", "suggested"))
        self._write(ids, labels, suggested, [[x[name] for x in listed] for name in _NUMBERS])

    def _write(self, ids: Any, labels: Any, suggested: Any, numbers: Sequence[Any]) -> None:
        batch = pa.record_batch(
            {
                "id": pa.array(ids) if len(ids) else pa.array([], pa.int64()),
                "label": pa.array(labels, pa.string()),
                "suggested": pa.array(suggested, pa.string()),
                **{
                    name: pa.array(each, pa.float64())
                    for name, each in zip(_NUMBERS, numbers, strict=True)
                },
            }
        )
        if not self.lines:
            self.lines.append(pyarrow.csv.CSVWriter(str(self.path), batch.schema))
        self.table.write(batch)
        self.lines[0].write_batch(batch)


def paths_of_issues(folder: Path) -> tuple[Path, Path]:
    """Of the Parquet table and of the CSV."""
    return folder / "issues.parquet", folder / "issues.csv"


@contextmanager
def issue_files(folder: Path) -> Iterator[IssueFiles]:
    """Tables that appear when they are whole; at least one batch is to be written."""
    lines: list[Any] = []
    of_table, of_lines = paths_of_issues(folder)
    with writing(of_table) as table, whole_file(of_lines) as part:
        try:
            yield IssueFiles(table, lines, part)
        finally:
            for each in lines:
                each.close()
