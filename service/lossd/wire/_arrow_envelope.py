"""The framing of an Arrow IPC stream, walked before pyarrow sees a byte of it.

A message is 0xFFFFFFFF, the length of its metadata (int32), the metadata (a flatbuffer), and a body
of the length that the metadata states. Everything that could make a reader take memory for what
was not sent is refused here: lengths that lie, compressed batches, buffers that overlap, and
parts of a flatbuffer that are pointed at many times.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lossd.errors import TooLarge, UnreadableBody
from lossd.wire._checks import MAX_TENSORS, too_many_tensors
from lossd.wire._flatbuffer import Flatbuffer, Table, damaged

MOST_METADATA_BYTES = 16 << 20
PREFIX_BYTES = 8
_CONTINUATION = 0xFFFFFFFF
_MOST_DEPTH = 32  # of nested columns
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3  # the kinds of message header that are read
_TIMESTAMP, _UNION = 10, 14  # the types whose descriptions hold text or lists


@dataclass(frozen=True, slots=True)
class Head:
    """What the metadata of one message says. `rows` is that of a batch or of a dictionary."""

    kind: Literal["schema", "dictionary", "batch"]
    body_bytes: int
    rows: int = 0
    dictionary: int = 0
    is_delta: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a stream, whole: `data` is its prefix, metadata and body."""

    head: Head
    data: bytes


def metadata_length(prefix: bytes, most_bytes: int = MOST_METADATA_BYTES) -> int:
    """The bytes of metadata that follow a message's first 8 bytes; 0 is the end of the stream.

    Raises `UnreadableBody`, `TooLarge`.
    """
    mark, length = struct.unpack("<Ii", prefix)
    if mark != _CONTINUATION or length < 0:
        raise UnreadableBody(
            "not an Arrow IPC stream",
            at="body",
            expected="messages that start with 0xFFFFFFFF and a length",
            got=prefix.hex(),
        )
    if length > most_bytes:
        raise TooLarge(
            "the metadata of a message is too long",
            at="body",
            expected=f"at most {most_bytes} bytes",
            got=f"{length} bytes",
        )
    return int(length)


def read_head(metadata: bytes) -> Head:
    """Check the metadata of one message, and all that it counts. Raises `UnreadableBody`."""
    message = Flatbuffer(metadata).root()
    kind = message.number(1, "B", 0)
    header = message.table(2)
    body_bytes = message.number(3, "q", 0)
    _check_texts(message, 4)
    if header is None or body_bytes < 0:
        raise damaged("a message without a header")
    if kind == _SCHEMA and body_bytes == 0:
        _check_schema(header)
        return Head("schema", 0)
    if kind == _BATCH:
        return Head("batch", body_bytes, _check_batch(header, body_bytes))
    if kind == _DICTIONARY:
        data = header.table(1)
        if data is None:
            raise damaged("a dictionary without data")
        rows = _check_batch(data, body_bytes)
        number, delta = header.number(0, "q", 0), header.number(2, "B", 0)
        return Head("dictionary", body_bytes, rows, number, bool(delta))
    raise damaged("a message that is no schema, dictionary or record batch")


def _check_batch(batch: Table, body_bytes: int) -> int:
    """The rows of a batch whose lengths and buffers are within its body."""
    if batch.table(3) is not None:
        raise UnreadableBody(
            "a compressed record batch",
            at="body",
            expected="uncompressed batches; compress the whole body, with Content-Encoding",
        )
    rows = batch.number(0, "q", 0)
    lengths = np.frombuffer(batch.structs(1, 16), "<i8").reshape(-1, 2)
    longest = max(rows, 8 * body_bytes)
    if rows < 0 or bool(((lengths < 0) | (lengths > longest)).any()):
        raise damaged("a column is longer than its bytes")
    buffers = np.frombuffer(batch.structs(2, 16), "<i8").reshape(-1, 2)
    if bool(((buffers < 0) | (buffers > body_bytes)).any() or (buffers[:, 0] % 8).any()):
        raise damaged("a buffer is outside the body of its message, or not aligned")
    ends, total = buffers.sum(1), int(buffers[:, 1].sum())
    if bool((ends > body_bytes).any()) or total > body_bytes:
        raise damaged("buffers overlap, or end outside the body of their message")
    return rows


def _check_schema(schema: Table) -> None:
    if schema.number(0, "h", 0) != 0:
        raise damaged("a big-endian stream")
    _check_texts(schema, 2)
    columns = schema.tables(1)
    if len(columns) > MAX_TENSORS:
        raise too_many_tensors("body")
    for column in columns:
        _check_column(column, 1)


def _check_column(column: Table, depth: int) -> None:
    """Visit a column and its children; each visit is paid for, so that sharing ends soon."""
    if depth > _MOST_DEPTH:
        raise damaged("columns are nested too deeply")
    column.text(0)
    _check_texts(column, 6)
    kind, described = column.number(2, "B", 0), column.table(3)
    if described is not None and kind == _TIMESTAMP:
        described.text(1)
    if described is not None and kind == _UNION:
        described.structs(1, 4)
    for child in column.tables(5):
        _check_column(child, depth + 1)


def _check_texts(table: Table, slot: int) -> None:
    for pair in table.tables(slot):
        pair.text(0)
        pair.text(1)


def heads_of(body: bytes) -> Iterator[Head]:
    """The messages of a whole stream, each checked. Raises `UnreadableBody`, `TooLarge`."""
    at = 0
    while True:
        prefix = body[at : at + PREFIX_BYTES]
        if len(prefix) < PREFIX_BYTES:
            raise truncated()
        length = metadata_length(prefix)
        at += PREFIX_BYTES
        if length == 0:
            break
        if len(body) - at < length:
            raise truncated()
        head = read_head(body[at : at + length])
        at += length + head.body_bytes
        if at > len(body):
            raise truncated()
        yield head
    if at != len(body):
        raise damaged("bytes after the end of the stream")


def truncated() -> UnreadableBody:
    """The error for a stream that stops before its end marker."""
    return UnreadableBody(
        "the Arrow stream is truncated",
        at="body",
        expected="whole messages, then the marker of the end",
    )


class Frames:
    """Cuts a stream that arrives in chunks of any size into whole messages.

    Holds at most one message and the chunk that ended it. `setting` names the limit in errors.
    """

    def __init__(self, most_body_bytes: int, setting: str) -> None:
        self._most, self._setting = most_body_bytes, setting
        self._pending = bytearray()
        self._wanted = PREFIX_BYTES
        self._metadata_bytes = 0
        self._head: Head | None = None
        self.ended = False

    @property
    def held_bytes(self) -> int:
        """Bytes that have come and are in no message yet."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take a chunk; give the messages that it completes, one at a time.

        Raises `UnreadableBody`, `TooLarge`.
        """
        self._pending += chunk
        while not self.ended and len(self._pending) >= self._wanted:
            frame = self._step()
            if frame is not None:
                yield frame
        if self.ended and self._pending:
            raise damaged("bytes after the end of the stream")

    def _step(self) -> Frame | None:
        if self._wanted == PREFIX_BYTES:
            most = min(MOST_METADATA_BYTES, self._most)
            self._metadata_bytes = metadata_length(bytes(self._pending[:PREFIX_BYTES]), most)
            self._wanted += self._metadata_bytes
            if self._metadata_bytes == 0:
                self.ended = True
                del self._pending[:PREFIX_BYTES]
            return None
        if self._head is None:
            self._head = read_head(bytes(self._pending[PREFIX_BYTES : self._wanted]))
            self._check_size(self._head)
            self._wanted += self._head.body_bytes
            if len(self._pending) < self._wanted:
                return None
        with memoryview(self._pending) as view:
            frame = Frame(self._head, bytes(view[: self._wanted]))
        del self._pending[: self._wanted]
        self._wanted, self._head = PREFIX_BYTES, None
        return frame

    def _check_size(self, head: Head) -> None:
        if head.body_bytes > self._most:
            raise TooLarge(
                "a record batch is too large",
                at="body",
                expected=f"at most {self._most} bytes ({self._setting})",
                got=f"{head.body_bytes} bytes",
            )
