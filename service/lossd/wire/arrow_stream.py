"""Arrow IPC streams of any length: record batches one at a time, in and out."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lossd.errors import TooLarge, UnreadableBody
from lossd.wire._arrow_columns import Elements as Elements
from lossd.wire._arrow_columns import read_column as read_column
from lossd.wire._arrow_columns import write_column as write_column
from lossd.wire._arrow_envelope import Frame as Frame
from lossd.wire._arrow_envelope import Frames as Frames
from lossd.wire._arrow_envelope import truncated as truncated
from lossd.wire.arrow import empty_batch as empty_batch
from lossd.wire.arrow import json_number as json_number
from lossd.wire.arrow import read_fields as read_fields
from lossd.wire.arrow import refusing as refusing


class BatchReader:
    """Record batches from checked messages. Dictionaries are kept, within a limit.

    `schema` is None until its message has come; `dictionary_bytes` is the size of what is kept.
    """

    def __init__(self, most_dictionary_bytes: int, setting: str) -> None:
        self.schema: Any = None
        self._most, self._setting = most_dictionary_bytes, setting
        self._sizes: dict[int, int] = {}
        self._source = _Source()
        self._reader: Any = None

    @property
    def dictionary_bytes(self) -> int:
        """The bytes of all dictionaries that later batches may refer to."""
        return sum(self._sizes.values())

    def read(self, frame: Frame) -> Any | None:
        """The batch of a message; None for a schema or a dictionary.

        Raises `UnreadableBody`; `TooLarge` for dictionaries that are too large together.
        """
        head = frame.head
        if (head.kind == "schema") != (self.schema is None):
            raise UnreadableBody(
                "the schema is not the first message, or not the only one of its kind",
                at="body",
                expected="one schema, then batches",
            )
        self._source.put(frame.data)
        if head.kind == "dictionary":
            kept = self._sizes.get(head.dictionary, 0) if head.is_delta else 0
            self._sizes[head.dictionary] = kept + len(frame.data)
            if self.dictionary_bytes > self._most:
                raise TooLarge(
                    "the dictionaries of the stream are too large together",
                    at="body",
                    expected=f"at most {self._most} bytes ({self._setting})",
                )
            return None
        with refusing():
            if head.kind == "schema":
                self._reader = pa.ipc.open_stream(pa.PythonFile(self._source, mode="r"))
                self.schema = self._reader.schema
                self.schema.names  # noqa: B018 # raises for names that are not text
                empty_batch(self.schema)  # raises for types that no batch can have
                return None
            batch = self._reader.read_next_batch()
            batch.validate(full=True)
            return batch


class _Source:
    """A file that holds what was put into it and was not read yet."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[memoryview] = []

    def put(self, data: bytes) -> None:
        self._parts.append(memoryview(data))

    def read_buffer(self, size: int) -> Any:
        """Up to so many bytes, without a copy where one part holds them all."""
        if not self._parts:
            return pa.py_buffer(b"")
        part = self._parts[0]
        if len(part) > size:
            self._parts[0] = part[size:]
        else:
            self._parts.pop(0)
        return pa.py_buffer(part[:size])

    def read(self, size: int) -> bytes:
        return bytes(self.read_buffer(size))


class BatchWriter:
    """Record batches to the bytes of one stream."""

    def __init__(self, schema: Any) -> None:
        self._sink = _Sink()
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        file = pa.PythonFile(self._sink, mode="w")
        self._writer = pa.ipc.new_stream(file, schema, options=options)
        self._empty = empty_batch(schema)

    def write(self, batch: Any) -> bytes:
        """The bytes of a batch; before those of the first come the schema's."""
        self._writer.write_batch(batch)
        return self._sink.take()

    def write_note(self, note: Mapping[str, Any]) -> bytes:
        """The bytes of a batch of no rows whose metadata holds each value as JSON text.

        Numbers that are not finite become the strings that they are in JSON.
        """
        texts = {
            key: json.dumps(json_number(value) if isinstance(value, float) else value)
            for key, value in note.items()
        }
        self._writer.write_batch(self._empty, custom_metadata=texts)
        return self._sink.take()

    def close(self) -> bytes:
        """The bytes that end the stream."""
        self._writer.close()
        return self._sink.take()


class _Sink:
    """A file that gives what was written to it."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(data)
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Bytes in pieces of a size, the last one shorter."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
