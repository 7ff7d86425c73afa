"""The two directions of a stream: batches in, answers out, and never more than one of each held."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from lossd.api.calls import SMALL_BYTES
from lossd.api.problem import document
from lossd.engine import Admission, Engine, Fold, Lease
from lossd.errors import DeadlineExceeded, InternalError, LossdError
from lossd.schema import Call, Result
from lossd.schema.stream import BatchStream
from lossd.settings import Settings
from lossd.wire import ARROW
from lossd.wire.arrow_stream import BatchReader, BatchWriter, Frame, Frames, pieces, truncated

_PIECE_BYTES = 64 * 1024  # the server's buffer for a reader that is slow holds one or two of these
_LINGER_S = 1.0  # how long to read on after an error, so that it reaches a caller who still sends
_BATCH_SETTING = "LOSSD_MAX_STREAM_BATCH_BYTES"
_log = logging.getLogger("lossd")


class Duplex(Response):
    """Answers a stream while it arrives. Holds one place of admission until it ends.

    An error before the first byte of the answer is raised, and answered as on any route. A later
    one becomes the last batch, and the connection ends without the last chunk of the body, so that
    no reader takes what came for all of it.
    """

    media_type = ARROW

    def __init__(self, loss: str, engine: Engine, admission: Admission, settings: Settings) -> None:
        super().__init__()
        self._loss, self._engine = loss, engine
        self._admission, self._settings = admission, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream."""
        with self._admission.enter() as lease:
            pipe = _Pipe(receive, send, lease, self._settings.stream_idle_timeout_s)
            exchange = _Exchange(self._loss, pipe, self._engine, self._settings)
            try:
                await exchange.run()
            except (ClientDisconnect, _ReaderGone):
                if not pipe.started:
                    raise
            except LossdError as err:
                if not pipe.started:
                    raise
                await exchange.fail(err)
            except Exception:
                if not pipe.started:
                    raise
                request_id = scope["state"]["request_id"]
                _log.exception("request %s failed", request_id)
                detail = f"a bug in lossd; its log names request {request_id}"
                await exchange.fail(InternalError(detail))


class _ReaderGone(Exception):
    """Nobody takes the answer."""


class _Pipe:
    """Bytes in and out, each within the time that a stream may be idle."""

    def __init__(self, receive: Receive, send: Send, lease: Lease, idle_s: float) -> None:
        self._receive, self._send, self._idle_s = receive, send, idle_s
        self.lease = lease
        self.started = self.all_received = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `DeadlineExceeded`, `Overloaded`, `ClientDisconnect`."""
        while not self.all_received:
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await self._receive()
            except TimeoutError as err:
                expected = f"some within {self._idle_s:g} s (LOSSD_STREAM_IDLE_TIMEOUT_S)"
                raise DeadlineExceeded("no bytes came", at="body", expected=expected) from err
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.all_received = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            self.lease.hold(len(chunk))
            yield chunk

    async def send(self, data: bytes) -> None:
        """Send some of the answer; returns when nearly all of it is gone. Raises `_ReaderGone`."""
        if not self.started:
            headers = [(b"content-type", ARROW.encode()), (b"x-accel-buffering", b"no")]
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces(data, _PIECE_BYTES):
            await self._send_piece(piece)

    async def _send_piece(self, piece: bytes) -> None:
        try:
            async with asyncio.timeout(self._idle_s):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError as err:
            raise _ReaderGone from err

    async def finish(self) -> None:
        """Say that the answer is whole."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def linger(self) -> None:
        """Read on for a moment and drop it: closing with unread bytes would drop the answer too."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self.all_received:
                    message = await self._receive()
                    gone = message["type"] == "http.disconnect"
                    self.all_received = gone or not message.get("more_body", False)
        except TimeoutError:
            return


class _Exchange:
    """One stream: reads a batch, computes it, answers it, and only then reads on."""

    def __init__(self, loss: str, pipe: _Pipe, engine: Engine, settings: Settings) -> None:
        self._loss, self._pipe, self._engine, self._settings = loss, pipe, engine, settings
        most_bytes = settings.max_stream_batch_bytes
        self._frames = Frames(most_bytes, _BATCH_SETTING)
        self._reader = BatchReader(most_bytes, _BATCH_SETTING)
        self._fold = Fold()
        self._stream: BatchStream | None = None
        self._writer: BatchWriter | None = None

    async def run(self) -> None:
        """Answer all of it. Raises `LossdError`, `ClientDisconnect`, `_ReaderGone`."""
        lease = self._pipe.lease
        async for chunk in self._pipe.chunks():
            for frame in self._frames.feed(chunk):
                await self._take(frame)
                held = self._frames.held_bytes + self._reader.dictionary_bytes
                lease.release(lease.held_bytes - held)
        if not self._frames.ended or self._stream is None:
            raise truncated()
        if self._writer is None:
            call = self._stream.empty_call()
            result = await self._engine.submit(call, timeout_s=self._settings.timeout_s)
            await self._pipe.send(self._write(self._stream.empty_answer(call, result)))
        stream, writer = self._stream, self._writer
        assert writer is not None
        summary = self._fold.summary(stream.spec, stream.params, stream.reduction)
        if stream.recipe is not None:
            summary["recipe"] = stream.recipe
        await self._pipe.send(writer.write_note(summary) + writer.close())
        await self._pipe.finish()

    async def fail(self, err: LossdError) -> None:
        """Make an error the last batch, if the reader still takes it, and leave the rest unsaid."""
        assert self._writer is not None
        try:
            await self._pipe.send(self._writer.write_note({"error": document(err)}))
        except _ReaderGone:
            return
        await self._pipe.linger()

    async def _take(self, frame: Frame) -> None:
        small = len(frame.data) <= SMALL_BYTES
        batch, call = self._parse(frame) if small else await self._off_loop(self._parse, frame)
        if call is None:
            return
        try:
            result = await self._engine.submit(call, timeout_s=self._settings.timeout_s)
        except LossdError as err:
            assert self._stream is not None
            self._stream.locate(err)
            raise
        self._fold.add(result)
        answer = (batch, call, result)
        data = self._answer(*answer) if small else await self._off_loop(self._answer, *answer)
        await self._pipe.send(data)

    async def _off_loop(self, work: Any, *given: Any) -> Any:
        return await self._engine.off_loop(work, *given)

    def _parse(self, frame: Frame) -> tuple[Any, Call | None]:
        batch = self._reader.read(frame)
        if frame.head.kind == "schema":
            most = self._settings.max_elements
            self._stream = BatchStream(self._loss, self._reader.schema, most)
        if batch is None or self._stream is None:
            return batch, None
        return batch, self._stream.call_of(batch)

    def _answer(self, batch: Any, call: Call, result: Result) -> bytes:
        assert self._stream is not None
        return self._write(self._stream.answer_of(batch, call, result))

    def _write(self, answer: Any) -> bytes:
        if self._writer is None:
            self._writer = BatchWriter(answer.schema)
        return self._writer.write(answer)
