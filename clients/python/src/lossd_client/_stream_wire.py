"""The bytes of a stream: Arrow IPC, with the fields of a call in the schema's metadata.

Imported only where streams are used: pyarrow is the extra `arrow`.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lossd_client._arrays import pack
from lossd_client._wire import to_json

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_MOST_READ_BYTES = 1 << 30  # of one part of an answer; no service makes one so large
Note = dict[str, Any]


def described(schema: Any, fields: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    """The schema with a call's other fields, and the inputs that belong to no row.

    Raises `TypeError` for an input that holds no numbers.
    """
    texts = {key: to_json(value) for key, value in fields.items()}
    if shared:
        texts["inputs"] = json.dumps({name: _tensor(name, x) for name, x in shared.items()})
    return schema.with_metadata(texts)


def _tensor(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {key: _tensor(f"{name}/{key}", each) for key, each in value.items()}
    packed = pack(name, value)
    data = base64.b64encode(packed.buffer.reshape(-1).view(np.uint8).data).decode()
    return {"dtype": packed.dtype, "shape": packed.shape, "data": data}


class Encoder:
    """Record batches to the bytes of one stream, none of which are the caller's own memory."""

    def __init__(self, schema: Any) -> None:
        self._parts: list[Any] = []
        self._schema = schema
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_stream(pa.PythonFile(self, mode="w"), schema, options=options)

    closed = False

    def write(self, data: Any) -> int:
        """What pyarrow calls."""
        self._parts.append(data)
        return len(data)

    def flush(self) -> None:
        """What pyarrow calls."""

    def batch(self, batch: Any) -> bytes:
        """The bytes of a batch; before those of the first come the schema's."""
        self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        return self._take()

    def end(self) -> bytes:
        """The bytes that end the stream."""
        self._writer.close()
        return self._take()

    def _take(self) -> bytes:
        taken = b"".join(self._parts)  # a copy, so that the caller may use its memory again
        self._parts.clear()
        return taken


class Decoder:
    """The batches of an answer, each with its note. `fill` fills a view, and says how far."""

    closed = False

    def __init__(self, fill: Callable[[memoryview], int]) -> None:
        self._fill = fill
        self._reader: Any = None

    def read_buffer(self, size: int) -> Any:
        """What pyarrow calls: so many bytes, fewer at the end."""
        if size > _MOST_READ_BYTES:
            raise ValueError(f"a part of the answer has {size} bytes")
        view = np.empty(size, np.uint8).data
        return pa.py_buffer(view[: self._fill(view)])

    def read(self, size: int) -> bytes:
        """What pyarrow calls to know whether this is a file."""
        return bytes(self.read_buffer(size))

    def next(self) -> tuple[Any, Note]:
        """The next batch; with a note it has no rows, and is the last. Raises `StopIteration`.

        Raises `ValueError` or `pyarrow.ArrowException` for anything else, and what `fill` raises.
        """
        if self._reader is None:
            self._reader = pa.ipc.open_stream(pa.PythonFile(self, mode="r"))
        batch, texts = self._reader.read_next_batch_with_custom_metadata()
        return batch, {key.decode(): json.loads(text) for key, text in (texts or {}).items()}


def window(schema: Any, batch: Any | None) -> bytes:
    """A whole stream of one batch, or of none."""
    encoder = Encoder(schema)
    return (b"" if batch is None else encoder.batch(batch)) + encoder.end()


def read_window(body: memoryview | bytearray) -> tuple[Any, Note]:
    """The batch and the note of the answer to a stream of one batch.

    Raises `ValueError` or `pyarrow.ArrowException` for anything else.
    """
    reader = pa.ipc.open_stream(pa.py_buffer(body))
    batch = reader.read_next_batch()
    try:
        _, texts = reader.read_next_batch_with_custom_metadata()
    except StopIteration as err:
        raise ValueError("an answer without a summary") from err
    return batch, {key.decode(): json.loads(text) for key, text in (texts or {}).items()}
