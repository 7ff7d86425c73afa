"""Streams: a loss of batches, each answered as it comes, in constant memory.

Needs pyarrow, the extra `arrow`.
"""

import asyncio
import re
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from lossd_client import _calls
from lossd_client._batches import Cutter, Piece, Place, opened
from lossd_client._exchanges import Exchange as Exchange
from lossd_client._exchanges import Plan as Plan
from lossd_client._exchanges import Totals
from lossd_client._exchanges import Windows as Windows
from lossd_client._exchanges import connected as connected
from lossd_client._stream_answers import StreamBatch as StreamBatch
from lossd_client._stream_answers import Summary as Summary
from lossd_client._stream_answers import summary_of
from lossd_client.errors import LossdError

Send = Callable[[_calls.Request], Coroutine[Any, Any, _calls.Answer]]
_PLACE = re.compile(r"batches\[(\d+)\](.*)", re.S)


@dataclass(frozen=True, slots=True)
class Source:
    """The caller's batches, the size to cut them to, and how many may wait for their answers.

    Raises `ValueError` for limits below 1.
    """

    batches: Any
    most_batch_bytes: int
    ahead: int

    def __post_init__(self) -> None:
        if self.ahead < 1 or self.most_batch_bytes < 1:
            raise ValueError("expected ahead >= 1 and most_batch_bytes >= 1")


class _Course:
    """The places of the batches that have been sent and not yet answered; in the end, the summary.

    It is apart from the stream so that a stream that is dropped is freed, and closed, at once.
    """

    def __init__(self) -> None:
        self.waiting: deque[Place] = deque()
        self.summary: Summary | None = None

    def told(self) -> Summary:
        """The summary. Raises `RuntimeError` before the stream was read to its end."""
        if self.summary is None:
            raise RuntimeError("the stream was not read to its end, so there is no summary")
        return self.summary

    def answer(self, batch: Any) -> StreamBatch:
        """The answer to the batch that has waited longest."""
        place = self.waiting.popleft() if self.waiting else Place()
        return StreamBatch(batch, place.number, place.first_row)

    @contextmanager
    def placing(self, answered: int) -> Iterator[None]:
        """Errors in this block name the place in the caller's batches where they name one of ours.

        `answered` is the service's number of the batch that has waited longest.
        """
        try:
            yield
        except LossdError as err:
            found = _PLACE.fullmatch(err.at)
            index = int(found[1]) - answered if found else -1
            if found is None or not 0 <= index < len(self.waiting):
                raise
            place = self.waiting[index]
            raise _moved(err, place, f"batches[{place.number}]{found[2]}") from err


def _moved(err: LossdError, place: Place, at: str) -> LossdError:
    indices = [[place.first_row + row, *rest] for row, *rest in err.indices or []]
    return type(err)(
        err.detail,
        code=err.code,
        status=err.status,
        at=at,
        expected=err.expected,
        got=err.got,
        indices=indices or err.indices,
        request_id=err.request_id,
        retry_after_s=err.retry_after_s,
    )


class Stream:
    """The answers to a stream, an iterator; `Client.stream` makes it.

    Nothing is sent before the first answer is asked for. Leaving it early, by `close` or a `with`
    block, closes the connection. At least one answer comes, without rows if there were none, so
    that its columns are known.
    """

    def __init__(self, source: Source, open_exchange: Callable[[], Exchange]) -> None:
        self._course = _Course()
        self._answers = _answers(source, open_exchange, self._course)

    @property
    def summary(self) -> Summary:
        """What all of it comes to. Raises `RuntimeError` before it was read to its end."""
        return self._course.told()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamBatch:
        return next(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, if it is under way."""
        self._answers.close()

    def read_to_end(self) -> Summary:
        """Drop the answers that are left, and give the summary."""
        for _ in self:
            pass
        return self.summary


def _answers(
    source: Source, open_exchange: Callable[[], Exchange], course: _Course
) -> Generator[StreamBatch, None, None]:
    with (
        opened(source.batches, source.most_batch_bytes) as (schema, given),
        closing(open_exchange()) as exchange,
    ):
        cutter = Cutter(source.most_batch_bytes, schema)
        pieces = (piece for each in given for piece in cutter.cut(each))
        is_ended = False
        while True:
            while not is_ended and len(course.waiting) < source.ahead:
                is_ended = not _put(next(pieces, None), exchange, course, cutter)
            with course.placing(exchange.answered):
                batch, note = exchange.take()
            if note:
                course.summary = summary_of(note)
                return
            yield course.answer(batch)


def _put(piece: Piece | None, exchange: Exchange, course: _Course, cutter: Cutter) -> bool:
    """Send a piece, or say that there are no more; whether there was one."""
    if piece is None:
        exchange.end(cutter.known_schema())
        return False
    exchange.put(piece.batch)
    course.waiting.append(piece.place)
    return True


class AsyncStream:
    """The answers to a stream, an asynchronous iterator; `AsyncClient.stream` makes it.

    It is windowed: up to `ahead` calls are under way at once, and answers come in order. Leaving it
    early, by `aclose` or an `async with` block, cancels them.
    """

    def __init__(self, source: Source, plan: Plan, send: Send) -> None:
        self._course = _Course()
        self._answers = _async_answers(source, plan, send, self._course)

    @property
    def summary(self) -> Summary:
        """What all of it comes to. Raises `RuntimeError` before it was read to its end."""
        return self._course.told()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamBatch:
        return await anext(self._answers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop, if it is under way."""
        await self._answers.aclose()

    async def read_to_end(self) -> Summary:
        """Drop the answers that are left, and give the summary."""
        async for _ in self:
            pass
        return self.summary


async def _async_answers(
    source: Source, plan: Plan, send: Send, course: _Course
) -> AsyncGenerator[StreamBatch, None]:
    totals = Totals(plan.fields.get("reduction"))
    tasks: deque[asyncio.Task[_calls.Answer]] = deque()

    def start(schema: Any, batch: Any | None) -> None:
        tasks.append(asyncio.create_task(send(plan.request(schema, batch))))

    async def answer() -> StreamBatch:
        with course.placing(0):
            batch = totals.read(await tasks[0])
        tasks.popleft()
        return course.answer(batch)

    try:
        cutter = Cutter(source.most_batch_bytes)
        async with aclosing(_pieces(source, cutter)) as pieces:
            async for piece in pieces:
                start(cutter.schema, piece.batch)
                course.waiting.append(piece.place)
                if len(tasks) == source.ahead:
                    yield await answer()
        if not totals.calls and not tasks:
            start(cutter.known_schema(), None)
        while tasks:
            yield await answer()
        course.summary = summary_of(totals.note())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pieces(source: Source, cutter: Cutter) -> AsyncGenerator[Piece, None]:
    """The pieces of batches that may come asynchronously."""
    if isinstance(source.batches, AsyncIterable):
        async for each in source.batches:
            for piece in cutter.cut(each):
                yield piece
        return
    with opened(source.batches, source.most_batch_bytes) as (schema, given):
        cutter.schema = None if schema is None else schema.remove_metadata()
        for each in given:
            for piece in cutter.cut(each):
                yield piece
