"""Parquet by row groups; Arrow IPC, as a file or a stream, by record batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from lossd.audit.chunk import MOST_CLASSES
from lossd.cli.predictions._source import (
    BATCH_BYTES,
    MOST_ROWS,
    Batches,
    Kinds,
    Source,
    cut,
)

_PAGE_BYTES = 1 << 20
_PROBE_ROWS = 64


@contextmanager
def open_parquet(path: Path) -> Iterator[Source]:
    """A Parquet file."""
    # The buffer makes it read pages, and not whole columns of a row group.
    with pq.ParquetFile(path, buffer_size=_PAGE_BYTES, pre_buffer=False) as file:

        def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
            columns, first = _paths(file, kinds), 0
            for group in range(file.num_row_groups):
                said = file.metadata.row_group(group).num_rows
                if mine():
                    found = 0
                    for batch in _batches_of_group(file, group, columns):
                        yield from cut(first + found, batch.select(list(kinds)))
                        found += batch.num_rows
                    if found != said:
                        raise ValueError(f"row group {group} has {found} rows and says {said}")
                first += said
            return first

        yield Source(file.schema_arrow.names, file.metadata.num_rows, read)


def _paths(file: Any, kinds: Kinds) -> list[str]:
    """Columns as Parquet names them: a name with dots would be taken for a path."""
    names = file.schema_arrow.names
    wanted = {names.index(name) for name in kinds}
    leaves = [file.metadata.schema.column(i).path for i in range(file.metadata.num_columns)]
    return [path for path in leaves if _root(names, path) in wanted]


def _root(names: list[str], path: str) -> int:
    own = [i for i, name in enumerate(names) if path == name or path.startswith(f"{name}.")]
    return max(own, key=lambda i: len(names[i]))


def _batches_of_group(file: Any, group: int, columns: list[str]) -> Iterator[Any]:
    chosen = {"row_groups": [group], "columns": columns}
    probe_rows = _probe_rows(file.metadata.row_group(group), set(columns))
    probe = next(file.iter_batches(batch_size=probe_rows, **chosen), None)
    if probe is not None and probe.num_rows:
        rows = BATCH_BYTES * probe.num_rows // max(probe.nbytes, 1)
        yield from file.iter_batches(batch_size=min(max(rows, 1), MOST_ROWS), **chosen)


def _probe_rows(group: Any, columns: set[str]) -> int:
    """Rows to learn the width of rows by: fewer where the file says that they are wide.

    Raises `ValueError` for more values a row than scores can have.
    """
    rows: int = max(group.num_rows, 1)
    values: int = 0
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema in columns:
            if column.num_values > rows * MOST_CLASSES:
                name = column.path_in_schema
                raise ValueError(f"{name} has more than {MOST_CLASSES} values a row")
            values += column.num_values
    return min(_PROBE_ROWS, max(1, BATCH_BYTES * rows // max(8 * values, 1)))


@contextmanager
def open_ipc(path: Path) -> Iterator[Source]:
    """An Arrow IPC file (Feather version 2 is one)."""
    with pa.memory_map(str(path)) as mapped:
        file = pa.ipc.open_file(mapped)
        fragment = pyarrow.dataset.IpcFileFormat().make_fragment(str(path), LocalFileSystem())
        rows = fragment.count_rows()  # by the batches' heads

        def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
            return (yield from _checked(batches, kinds, mine))

        yield Source(file.schema.names, rows, read)


@contextmanager
def open_ipc_stream(stream: BinaryIO, at: str) -> Iterator[Source]:
    """An Arrow IPC stream."""
    with pa.ipc.open_stream(stream) as batches:

        def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
            return (yield from _checked(batches, kinds, mine))

        yield Source(batches.schema.names, None, read)


def _checked(batches: Any, kinds: Kinds, mine: Callable[[], bool]) -> Batches:
    first = 0
    for batch in batches:
        rows = batch.num_rows
        if mine():
            chosen = batch.select(list(kinds))
            chosen.validate(full=True)  # the bytes may lie
            yield from cut(first, chosen)
        first += rows
    return first
