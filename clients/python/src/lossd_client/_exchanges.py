"""The two ways to have a stream answered: on one connection, or in one small call per batch.

Imported only where streams are used: pyarrow is the extra `arrow`.
"""

import http.client
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pyarrow as pa

from lossd_client import _calls
from lossd_client._duplex import Duplex
from lossd_client._stream_wire import (
    MEDIA_TYPE,
    Decoder,
    Encoder,
    Note,
    described,
    read_window,
    window,
)
from lossd_client.errors import ConnectionFailed, LossdError, TimedOut, from_problem
from lossd_client.transport import SocketTransport

_MOST_PROBLEM_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stream is asked for: the loss, the other fields of a call, inputs of no row."""

    loss: str
    fields: Mapping[str, Any]
    shared: Mapping[str, Any]

    @property
    def path(self) -> str:
        """Where it is sent."""
        return f"/v1/streams/{self.loss}"

    def described(self, schema: Any) -> Any:
        """The schema of the batches, saying all of this."""
        return described(schema, self.fields, self.shared)

    def request(self, schema: Any, batch: Any | None) -> _calls.Request:
        """The call of one batch alone."""
        body = window(self.described(schema), batch)
        headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE}
        headers["content-length"] = str(len(body))
        return _calls.Request("POST", self.path, [body], headers)


class Exchange(Protocol):
    """Batches out, answers in. `answered` is the service's number of the batch that is next."""

    answered: int

    def put(self, batch: Any) -> None:
        """Send a batch; it may be on its way later."""

    def end(self, schema: Any) -> None:
        """Say that there are no more batches; the schema is theirs, if there was none."""

    def take(self) -> tuple[Any, Note]:
        """The next answer; that with a note is the last. Raises `LossdError`."""

    def close(self) -> None:
        """Leave nothing open."""


class OneConnection:
    """The stream over a connection that is written and read at once. Closes it in the end."""

    def __init__(self, plan: Plan, duplex: Duplex, url: str) -> None:
        self._plan, self._duplex, self._url = plan, duplex, url
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._request_id = ""
        self.answered = 0

    def put(self, batch: Any) -> None:
        """Send a batch; what does not go without waiting goes while answers are read."""
        self._duplex.put(self._begun(batch.schema).batch(batch))

    def end(self, schema: Any) -> None:
        """Say that there are no more batches."""
        self._duplex.put(self._begun(schema).end())
        self._duplex.end()

    def _begun(self, schema: Any) -> Encoder:
        if self._encoder is None:
            self._encoder = Encoder(self._plan.described(schema))
        return self._encoder

    def take(self) -> tuple[Any, Note]:
        """The next answer, waiting for it. Raises `LossdError`."""
        with self._asking():
            if self._decoder is None:
                self._decoder = self._answer()
            try:
                batch, note = self._decoder.next()
            except StopIteration as err:
                raise self._unreadable("the answer ends without a summary") from err
            if "error" in note:
                raise self._told(note["error"])
            if note:
                self._check_end(self._decoder)
        self.answered += 1
        return batch, note

    def _answer(self) -> Decoder:
        """The answer's body, once its head is there. Raises the `LossdError` that it tells."""
        head = self._duplex.head()
        headers = httpx.Headers([(key, value) for key, value in head.headers.items()])
        body = bytearray()
        self._request_id = headers.get("x-request-id", "")
        if head.status != 200:
            body = bytearray(head.read(_MOST_PROBLEM_BYTES))
        _calls.checked(_calls.Answer(head.status, headers, body))
        if headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
            raise self._unreadable(f"the content type is {headers.get('content-type')!r}"[:200])
        return Decoder(self._duplex.readinto)

    def _check_end(self, decoder: Decoder) -> None:
        """Raises `LossdError` or `HTTPException` unless the body ends here, and is whole."""
        try:
            decoder.next()
        except StopIteration:
            if not self._duplex.readinto(memoryview(bytearray(1))):
                return
        raise self._unreadable("there are bytes after the end of the answer")

    def _told(self, problem: Any) -> LossdError:
        status = problem.get("status", 0) if isinstance(problem, dict) else 0
        return from_problem(problem, status=status, request_id=self._request_id, retry_after_s=None)

    def _unreadable(self, why: str) -> LossdError:
        detail = f"the service answered a stream in a form that lossd does not use: {why}"
        return LossdError(detail, status=200, request_id=self._request_id)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raise what sockets, http.client and pyarrow raise as `LossdError`."""
        try:
            yield
        except TimeoutError as err:
            detail = f"{self._url}: {err}; where a proxy on the way holds streams back, "
            raise TimedOut(detail + "use windowed=True") from err
        except (OSError, http.client.HTTPException) as err:
            detail = f"the connection to {self._url} ended within the stream: {type(err).__name__}"
            raise ConnectionFailed(f"{detail} {err}"[:500]) from err
        except (pa.ArrowException, ValueError, TypeError, KeyError) as err:
            raise self._unreadable(f"{type(err).__name__}: {err}"[:500]) from err

    def close(self) -> None:
        """Close the connection."""
        self._duplex.close()


def connected(plan: Plan, http: httpx.Client, sockets: SocketTransport, url: str) -> OneConnection:
    """A stream on a new connection, with the client's headers. Raises `LossdError`."""
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "transfer-encoding": "chunked"}
    request = http.build_request("POST", plan.path, headers=headers)
    request.headers.pop("content-length", None)
    request.headers.pop("accept-encoding", None)  # of a whole answer only
    try:
        return OneConnection(plan, sockets.open_duplex(request), url)
    except httpx.TransportError as err:
        raise _calls.transport_error(err, url) from err


class Windows:
    """The stream as one ordinary call per batch, by a function that sends such a call."""

    def __init__(self, plan: Plan, send: Callable[[_calls.Request], _calls.Answer]) -> None:
        self._plan, self._send = plan, send
        self._queue: deque[_calls.Request] = deque()
        self._totals = Totals(plan.fields.get("reduction"))
        self._is_ended = False
        self.answered = 0  # each call's only batch is its first

    def put(self, batch: Any) -> None:
        """Make a call of it, for `take` to send."""
        self._queue.append(self._plan.request(batch.schema, batch))

    def end(self, schema: Any) -> None:
        """There are no more; if there was none at all, one call tells what that comes to."""
        self._is_ended = True
        if not self._queue and not self._totals.calls:
            self._queue.append(self._plan.request(schema, None))

    def take(self) -> tuple[Any, Note]:
        """Send the oldest call and read its answer; in the end, what they come to together."""
        if self._queue:
            answer = self._send(self._queue[0])
            self._queue.popleft()
            return self._totals.read(answer), {}
        assert self._is_ended
        return None, self._totals.note()

    def close(self) -> None:
        """Nothing is open."""
        self._queue.clear()


class Totals:
    """What many calls of one loss come to."""

    def __init__(self, reduction: str | None) -> None:
        self._reduction = reduction or "mean"  # as of every loss whose rows stand alone
        self.calls = 0
        self._note: Note = {}
        self._warnings: dict[tuple[str, str], None] = {}  # in order, each once

    def read(self, answer: _calls.Answer) -> Any:
        """Count a call's answer, and give its batch. Raises `LossdError`."""
        try:
            batch, note = read_window(answer.body)
            told = {key: float(note[key]) for key in ("sum", "denominator")}
            told |= {key: int(note[key]) for key in ("count", "batches")}
            warnings = [(each["code"], each["detail"]) for each in note["warnings"]]
        except (pa.ArrowException, ValueError, TypeError, KeyError, StopIteration) as err:
            raise answer.unreadable(err) from err
        for key, value in told.items():
            note[key] = self._note.get(key, 0) + value
        self._warnings |= dict.fromkeys(
            each for each in warnings if each[0] not in ("zero_denominator", "nonfinite_value")
        )
        self._note = note
        self.calls += 1
        return batch

    def note(self) -> Note:
        """The note that one stream of all the batches would have ended with."""
        total, denominator = self._note["sum"], self._note["denominator"]
        value, warnings = total, dict(self._warnings)
        if self._reduction == "mean" and denominator:
            value = total / denominator
        elif self._reduction == "mean":
            value = None if total == 0 else total
            detail = "the value is null" if value is None else "the value is the sum over 1"
            warnings["zero_denominator", f"the denominator is 0: {detail}"] = None
        if self._reduction == "none":
            value = None
        elif not abs(total) < float("inf"):
            warnings["nonfinite_value", f"the sum is {total}"] = None
        told = [{"code": code, "detail": detail} for code, detail in warnings]
        return self._note | {"value": value, "warnings": told}
