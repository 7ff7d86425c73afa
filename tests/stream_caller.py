"""A caller that sends and receives at once, and what it sends."""

import contextlib
import io
import json
import socket
from collections.abc import Iterator
from typing import Any

import h11
import numpy as np
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


class Caller:
    """One stream over one socket. A file for pyarrow to read the answer from."""

    closed = False

    def __init__(self, url: str, loss: str, **headers: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.http = h11.Connection(h11.CLIENT)
        given = {"host": "x", "content-type": ARROW, "transfer-encoding": "chunked"} | headers
        target = f"/v1/streams/{loss}"
        self._put(h11.Request(method="POST", target=target, headers=list(given.items())))
        self._left = b""
        self.complete = False
        self.response: h11.Response | None = None

    def _put(self, event: Any) -> None:
        self.socket.sendall(self.http.send(event) or b"")

    def send(self, data: bytes) -> None:
        self._put(h11.Data(data))

    def end(self) -> None:
        self._put(h11.EndOfMessage())

    def close(self) -> None:
        self.socket.close()

    def _event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(self.socket.recv(65536))
        return event

    def head(self) -> h11.Response:
        """The status and headers of the answer."""
        while self.response is None:
            event = self._event()
            if isinstance(event, h11.Response):
                self.response = event
        return self.response

    def read(self, size: int = -1) -> bytes:
        """Bytes of the answer; fewer than asked for at its end, however it ends."""
        self.head()
        while (size < 0 or len(self._left) < size) and not self.complete:
            try:
                event = self._event()
            except (h11.RemoteProtocolError, OSError):
                break
            if isinstance(event, h11.EndOfMessage):
                self.complete = True
            else:
                self._left += bytes(event.data)
        taken = self._left if size < 0 else self._left[:size]
        self._left = self._left[len(taken) :]
        return taken

    def problem(self) -> dict[str, Any]:
        """The answer as a problem document."""
        found: dict[str, Any] = json.loads(self.read())
        assert self.head().status_code == found["status"]
        return found

    def batches(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The batches of the answer, each with its notes."""
        reader = pa.ipc.open_stream(pa.PythonFile(self, mode="r"))
        while True:
            try:
                batch, notes = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            yield batch, {k.decode(): json.loads(text) for k, text in (notes or {}).items()}


@contextlib.contextmanager
def calling(url: str, loss: str = "cross_entropy", **headers: str) -> Iterator[Caller]:
    """A caller whose socket is closed in the end."""
    caller = Caller(url, loss, **headers)
    try:
        yield caller
    finally:
        caller.close()


class Feed:
    """Makes the bytes of a stream, batch by batch."""

    def __init__(self, schema: Any, **metadata: Any) -> None:
        texts = {key: json.dumps(value) for key, value in metadata.items()}
        self._sink = io.BytesIO()
        self.schema = schema.with_metadata(texts)
        self._writer = pa.ipc.new_stream(self._sink, self.schema)

    def batch(self, batch: Any) -> bytes:
        """The bytes of a batch; with the schema's before those of the first."""
        self._writer.write_batch(batch.replace_schema_metadata(self.schema.metadata))
        return self._take()

    def end(self) -> bytes:
        """The marker of the end."""
        self._writer.close()
        return self._take()

    def _take(self) -> bytes:
        taken = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return taken


def batch_of(rows: int, classes: int = 3, start: int = 0, **more: Any) -> Any:
    """Logits and labels that differ from row to row."""
    logits = np.cos(np.arange(start, start + rows * classes)).astype(np.float32)
    columns = {
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits), classes),
        "labels": pa.array(np.arange(start, start + rows) % classes),
        **more,
    }
    return pa.record_batch(list(columns.values()), names=list(columns))


def exchange(url: str, batches: list[Any], loss: str = "cross_entropy", **metadata: Any) -> Any:
    """Send all, read all: the batches of the answer with their notes, and whether it was whole."""
    feed = Feed(batches[0].schema, **metadata)
    with calling(url, loss) as caller:
        caller.send(b"".join(feed.batch(each) for each in batches) + feed.end())
        caller.end()
        if caller.head().status_code != 200:
            return caller.problem()
        return list(caller.batches()), caller.read() == b"" and caller.complete
