"""Tables of any size on disk, read and written a few megabytes at a time: Parquet and Arrow IPC.

pyarrow is the extra `arrow`; import this only where a table is named.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossd.cli.whole_file import whole_file
from lossd.errors import UnreadableBody

BATCH_BYTES = 4 << 20
_PAGE_BYTES = 1 << 20
_GROUP_BYTES = 32 << 20  # what is written at once; small groups make a file slow to read
_MOST_ROWS = 65536
_PROBE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is open. `rows` is None where only reading it all would tell."""

    schema: Any
    rows: int | None
    batches: Iterator[Any]


@contextmanager
def reading(path: Path) -> Iterator[Table]:
    """A table's batches, each of about `BATCH_BYTES` at most.

    Raises `UnreadableBody` for a file that is missing, or not what its ending says; so do the
    batches.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise _no_such_kind(path)
    with ExitStack() as stack:
        with _refusing(path):
            table = opener(path, stack)
        yield Table(table.schema, table.rows, _cut(table.batches, path))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise UnreadableBody(f"cannot be read: {err.strerror or err}"[:300], at=str(path)) from err
    except (pa.ArrowException, ValueError, TypeError, KeyError, NotImplementedError) as err:
        raise UnreadableBody(f"not a {path.suffix} file: {err}"[:300], at=str(path)) from err


def _no_such_kind(path: Path) -> UnreadableBody:
    return UnreadableBody(
        "no such kind of table",
        at=str(path),
        expected=", ".join(_OPENERS),
        got=path.suffix or "no ending",
    )


def _cut(batches: Iterator[Any], path: Path) -> Iterator[Any]:
    while True:
        with _refusing(path):
            batch = next(batches, None)
        if batch is None:
            return
        rows = max(1, batch.num_rows * BATCH_BYTES // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _open_parquet(path: Path, stack: ExitStack) -> Table:
    # The buffer makes it read pages, and not whole columns of a row group.
    opened = pq.ParquetFile(path, buffer_size=_PAGE_BYTES, pre_buffer=False)
    file = stack.enter_context(opened)

    def batches() -> Iterator[Any]:
        probe = next(file.iter_batches(batch_size=_PROBE_ROWS), None)
        if probe is not None and probe.num_rows:
            rows = BATCH_BYTES * probe.num_rows // max(probe.nbytes, 1)
            yield from file.iter_batches(batch_size=min(max(rows, 1), _MOST_ROWS))

    return Table(file.schema_arrow, file.metadata.num_rows, batches())


def _open_ipc(path: Path, stack: ExitStack) -> Table:
    mapped = stack.enter_context(pa.memory_map(str(path)))
    file = pa.ipc.open_file(mapped)

    def batches() -> Iterator[Any]:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            batch.validate(full=True)  # the bytes may lie
            yield batch

    return Table(file.schema, None, batches())


_OPENERS: dict[str, Callable[[Path, ExitStack], Table]] = {
    ".parquet": _open_parquet,
    ".arrow": _open_ipc,
    ".feather": _open_ipc,
}


class TableWriter:
    """Writes batches of one schema; the first sets it."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self._writer: Any = None
        self._pending: list[Any] = []
        self._pending_bytes = 0

    def write(self, batch: Any) -> None:
        """Add a batch. Raises `OSError`, `pyarrow.ArrowException`."""
        if self._writer is None:
            make = pq.ParquetWriter if self._kind == ".parquet" else pa.ipc.new_file
            self._writer = make(str(self._path), batch.schema)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending. Raises `OSError`, `pyarrow.ArrowException`."""
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending))
        self._pending.clear()
        self._pending_bytes = 0

    def close(self) -> None:
        """Close the file, without what is pending."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def writing(path: Path) -> Iterator[TableWriter]:
    """A table that appears when it is whole. Raises `UnreadableBody` where it cannot be written."""
    kind = path.suffix.lower()
    if kind not in _OPENERS:
        raise _no_such_kind(path)
    with whole_file(path) as part:
        writer = TableWriter(part, kind)
        try:
            yield writer
            writer.flush()
        except (pa.ArrowException, NotImplementedError) as err:
            detail = f"this table cannot be written as {kind}: {err}"
            raise UnreadableBody(detail[:300], at=str(path)) from err
        finally:
            writer.close()
