"""CSV by blocks of bytes, JSON lines by blocks of lines; compressed ones too."""

import bisect
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lossd.cli.predictions._source import Batches, Kinds, Source, cut
from lossd.errors import UnreadableBody, WrongDtype

BLOCK_BYTES = 4 << 20
_MOST_LINE = 64 << 20
_ARROW = {"floats": pa.float64(), "text": pa.string(), "named": pa.string(), "id": pa.string()}
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"  # as integers are written: 0001 is text
_MISFITS = (pa.ArrowException, ValueError, TypeError, OverflowError)
_PLACE = re.compile(r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.S)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, decompressed where its name ends in .gz, .bz2, .zst or .lz4."""
    with pa.input_stream(str(path), compression="detect") as raw:
        yield io.BufferedReader(raw, 1 << 20)


@contextmanager
def open_csv(stream: BinaryIO, at: str, delimiter: str = ",") -> Iterator[Source]:
    """CSV whose first line names the columns."""
    lines = (line.decode("utf-8-sig") for line in iter(lambda: stream.readline(_MOST_LINE), b""))
    names = next(csv.reader(lines, delimiter=delimiter), [])
    if not names:
        raise UnreadableBody("has no first line that names its columns", at=at)

    def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
        if not stream.peek(1):  # type: ignore[attr-defined]  # of io.BufferedReader
            return 0
        numbered = [f"{i}" for i in range(len(names))]  # two may have one name
        own = {name: numbered[names.index(name)] for name in kinds}
        types = {own[name]: _ARROW[kind] for name, kind in kinds.items() if kind != "any"}
        if numbered[-1] not in own.values():
            types[numbered[-1]] = pa.binary()  # read to see whether it swallowed the empty row
        found = pyarrow.csv.open_csv(
            io.BufferedReader(_Ended(stream, _empty_row(len(names), delimiter))),
            pyarrow.csv.ReadOptions(
                column_names=numbered, use_threads=False, block_size=BLOCK_BYTES
            ),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                include_columns=list(dict.fromkeys([*own.values(), numbered[-1]])),
                column_types=types,
            ),
        )
        first = 0
        for batch in _without_the_empty_row(found, numbered[-1], at):
            if mine():
                asked = batch.select(list(own.values())).rename_columns(list(own))
                for i, name in enumerate(own):
                    if kinds[name] == "id":
                        asked = asked.set_column(i, name, _as_ids(asked.column(i)))
                yield from cut(first, asked)
            first += batch.num_rows
        return first

    def read_placed(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
        try:
            return (yield from read(kinds, mine))
        except pa.ArrowInvalid as err:
            place = _PLACE.match(str(err))
            if place is None:
                raise
            column = f", column {names[int(place[1])]}" if place[1] else ""
            detail = place[3].removeprefix("CSV conversion error to ")
            where = f"{at}: row {int(place[2]) - 1}{column}"
            raise WrongDtype(f"cannot be read: {detail}"[:300], at=where) from err

    yield Source(names, None, read_placed)


def _as_ids(text: Any) -> Any:
    """Integers where all are written as integers are, else text; what is empty is null."""
    ids = pc.if_else(pc.not_equal(text, ""), text, None)
    are_integers = pc.all(pc.match_substring_regex(ids, _INTEGER)).as_py()
    return ids.cast(pa.int64()) if are_integers else ids


def _empty_row(columns: int, delimiter: str) -> bytes:
    return b"\n" + delimiter.encode() * (columns - 1) + b"\n"


def _without_the_empty_row(batches: Any, last_column: str, at: str) -> Iterator[Any]:
    """Batches without the empty row that was put after the last.

    pyarrow takes the end of a file for the quotation mark that closes a value. The value is then in
    the last column, and has swallowed the empty row.
    """
    first, held = 0, None
    for batch in batches:
        if held is not None:
            yield held
            first += held.num_rows
        held = batch
    if held is None or held.column(last_column)[-1].as_py() not in (None, "", b""):
        row = first + (held.num_rows if held is not None else 1) - 1
        detail = "a quotation mark is not closed, and takes the rest of the file for one value"
        raise UnreadableBody(detail, at=f"{at}: row {row}")
    yield held.slice(0, held.num_rows - 1)


class _Ended(io.RawIOBase):
    """A stream's bytes, then some more."""

    def __init__(self, stream: BinaryIO, after: bytes) -> None:
        self._parts: list[BinaryIO] = [stream, io.BytesIO(after)]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._parts:
            content = self._parts[0].read(len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
            self._parts.pop(0)
        return 0


@contextmanager
def open_jsonl(stream: BinaryIO, at: str) -> Iterator[Source]:
    """JSON lines: an object a line; a key that is not there is null. NaN and Infinity are read."""
    head = stream.readline(_MOST_LINE)
    while head and not head.strip():
        head = stream.readline(_MOST_LINE)
    names = list(_object(head, f"{at}: row 0")) if head else []

    def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
        first = 0
        for lines in _blocks(stream, head, at):
            if mine():
                rows = [_object(line, f"{at}: row {first + i}") for i, line in enumerate(lines)]
                columns = [
                    _column([row.get(name) for row in rows], kind, name, at, first)
                    for name, kind in kinds.items()
                ]
                yield from cut(first, pa.RecordBatch.from_arrays(columns, names=list(kinds)))
            first += len(lines)
        return first

    yield Source(names, None, read)


def _blocks(stream: BinaryIO, head: bytes, at: str) -> Iterator[list[bytes]]:
    """Lines that are not blank, some megabytes at a time."""
    lines, size = [head] if head else [], len(head)
    while line := stream.readline(_MOST_LINE):
        if len(line) == _MOST_LINE:
            raise UnreadableBody(f"a line is longer than {_MOST_LINE} bytes", at=at)
        if not line.isspace():
            lines.append(line)
            size += len(line)
        if size >= BLOCK_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _object(line: bytes, at: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = _lenient(line, at)
    if not isinstance(found, dict):
        raise UnreadableBody("a line is not a JSON object", at=at)
    return found


def _lenient(line: bytes, at: str) -> Any:
    """What Python's own json writes: NaN, Infinity."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as err:
        raise UnreadableBody(f"a line is not JSON: {err}"[:300], at=at) from err


def _column(values: list[Any], kind: str, name: str, at: str, first: int) -> Any:
    """An Arrow array; the first value that does not fit is named."""
    if kind == "text":
        values = [each if each is None else _text(each) for each in values]
    try:
        return _array(values, kind)
    except _MISFITS as err:
        row = bisect.bisect_left(range(len(values)), True, key=lambda i: _fails(values, i, kind))
        place = f"{at}: row {first + row}, column {name}"
        raise WrongDtype(f"not a value of this column: {err}"[:300], at=place) from err


def _fails(values: list[Any], last: int, kind: str) -> bool:
    try:
        _array(values[: last + 1], kind)
    except _MISFITS:
        return True
    return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _array(values: list[Any], kind: str) -> Any:
    if kind != "floats":
        return pa.array(values)
    is_list = any(isinstance(each, list) for each in values)
    return pa.array(values, pa.list_(pa.float64()) if is_list else pa.float64())
