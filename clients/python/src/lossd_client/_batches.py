"""Whatever holds batches, to record batches of one schema that are no larger than a limit.

Imported only where streams are used: pyarrow is the extra `arrow`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossd_client._columns import batch_of, empty_batch

_PROBE_ROWS = 64
_MOST_ROWS = 65536
_PAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Row `first_row` of the caller's batch of that number."""

    number: int = 0
    first_row: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a batch of the caller, from a place on."""

    batch: Any
    place: Place


class Cutter:
    """Makes record batches of one schema out of what the caller gives, and cuts them.

    The first batch sets the schema if it is not known before. Schemas lose their metadata, which on
    the way to the service has a meaning of its own.
    """

    def __init__(self, most_bytes: int, schema: Any = None) -> None:
        self.schema = None if schema is None else schema.remove_metadata()
        self._most_bytes = most_bytes
        self._number = 0

    def cut(self, given: Any) -> list[Piece]:
        """The pieces of the next batch or table; none if it has no rows.

        Raises `TypeError` for anything else, `ValueError` for other columns than before.
        """
        number, self._number = self._number, self._number + 1
        place = f"batches[{number}]"
        if isinstance(given, pa.Table):
            batches = [self._fitted(each, place) for each in given.to_batches()]
            if not batches:
                self._fitted(empty_batch(given.schema), place)
        elif isinstance(given, pa.RecordBatch):
            batches = [self._fitted(given, place)]
        elif isinstance(given, Mapping):
            batches = [self._fitted(batch_of(given, place, self.schema), place)]
        else:
            kind = type(given).__name__
            raise TypeError(f"{place}: expected a RecordBatch, Table or dict of arrays, got {kind}")
        first_row, pieces = 0, []
        for batch in batches:
            for start, part in slices(batch, self._most_bytes):
                pieces.append(Piece(part, Place(number, first_row + start)))
            first_row += batch.num_rows
        return pieces

    def known_schema(self) -> Any:
        """The schema. Raises `ValueError` if there was neither a batch nor one that said it."""
        if self.schema is None:
            raise ValueError("there were no batches, so their columns are not known; give a table")
        return self.schema

    def _fitted(self, batch: Any, place: str) -> Any:
        if self.schema is None:
            self.schema = batch.schema.remove_metadata()
        if set(batch.schema.names) != set(self.schema.names):
            expected, found = ", ".join(self.schema.names), ", ".join(batch.schema.names)
            raise ValueError(f"{place}: expected the columns {expected}; got {found}")
        if batch.schema.names != self.schema.names:
            batch = batch.select(self.schema.names)
        for want, got in zip(self.schema, batch.schema, strict=True):
            if want.type != got.type:
                name = f"{place}.{want.name}"
                raise ValueError(f"{name}: expected {want.type} as before, got {got.type}")
        return pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)


def slices(batch: Any, most_bytes: int) -> Iterator[tuple[int, Any]]:
    """Slices of a batch, each of at most so many bytes or one row, with its first row."""
    if not batch.num_rows:
        return
    rows = max(1, batch.num_rows * most_bytes // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, rows):
        yield start, batch.slice(start, rows)


@contextmanager
def opened(given: Any, most_bytes: int) -> Iterator[tuple[Any, Iterable[Any]]]:
    """The schema, None if only the first batch will tell it, and what to iterate over.

    A path is that of a Parquet file, read a few pages at a time and closed in the end. Raises
    `TypeError` for what holds no batches, `OSError` or `ValueError` for a file that is unreadable.
    """
    if isinstance(given, str | os.PathLike):
        # The buffer makes it read pages, and not whole columns of a row group.
        with pq.ParquetFile(given, buffer_size=_PAGE_BYTES, pre_buffer=False) as file:
            yield file.schema_arrow, _parquet_batches(file, most_bytes)
    elif isinstance(given, pa.RecordBatchReader):
        yield given.schema, given
    elif isinstance(given, pa.Table):
        yield given.schema, given.to_batches()
    elif isinstance(given, pa.RecordBatch | Mapping):
        yield None, [given]
    elif isinstance(given, Iterable):
        yield None, given
    else:
        expected = "batches, a reader, a table or the path of a Parquet file"
        raise TypeError(f"batches: expected {expected}, got {type(given).__name__}")


def _parquet_batches(file: Any, most_bytes: int) -> Iterator[Any]:
    probe = next(file.iter_batches(batch_size=_PROBE_ROWS), None)
    if probe is None or not probe.num_rows:
        return iter(())
    rows = most_bytes * probe.num_rows // max(probe.nbytes, 1)
    batches: Iterator[Any] = file.iter_batches(batch_size=min(max(rows, 1), _MOST_ROWS))
    return batches
