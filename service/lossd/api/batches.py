"""`POST /v1/losses:batch`: several calls of the same tensors, each with an answer of its own."""

import asyncio
import logging
from typing import Any

from fastapi import APIRouter, Request

from lossd.api.body import BodyReader, Sent
from lossd.api.calls import SMALL_BYTES, SMALL_ELEMENTS
from lossd.api.clock import Clock
from lossd.api.exchange import Answer, Handle, Incoming
from lossd.api.problem import document
from lossd.engine import Admission, Engine
from lossd.errors import InternalError, LossdError, MethodNotAllowed, TooLarge
from lossd.schema import Call, Entry, parse_batch, to_message
from lossd.schema.batch import elements_of
from lossd.schema.named import within
from lossd.settings import Settings
from lossd.wire import Message
from lossd.wire.batches import batch_parts, decode_batch

PATH = "/v1/losses:batch"
router = APIRouter()
_log = logging.getLogger("lossd")


@router.get(PATH, include_in_schema=False)
def only_by_post(request: Request) -> None:
    raise MethodNotAllowed(
        "batches are sent by POST", at="method", expected="POST", got=request.method
    )


class LossBatches:
    """Calls of named tensors that are sent once. What is wrong with one call is its own problem."""

    def __init__(self, engine: Engine, admission: Admission, settings: Settings) -> None:
        self._engine, self._admission, self._settings = engine, admission, settings
        self._bodies = BodyReader(engine.buffers, settings)

    def match(self, rest: str) -> Handle | None:
        """The handler of batches."""
        return None if rest else self._batch

    async def _batch(self, incoming: Incoming) -> Answer:
        with self._admission.enter() as lease:
            sent = await self._bodies.receive(incoming, lease)
            clock = Clock(incoming.seconds)
            parse, off_loop = self._parsed, self._engine.off_loop
            quick = sent.is_small(SMALL_BYTES)
            entries = parse(sent) if quick else await off_loop(parse, sent)
            clock.note("parse")
            answers: dict[str, Message] = {}
            problems: dict[str, dict[str, Any]] = {}
            for entry in entries:
                answer = await self._answer(entry)
                if isinstance(answer, Message):
                    answers[entry.name] = answer
                else:
                    problems[entry.name] = document(answer)
            clock.note("compute")
            count = sum(x.numel() for each in answers.values() for x in each.tensors.values())
            args = (sent.writer, answers, problems)
            quick = count <= SMALL_ELEMENTS
            parts = batch_parts(*args) if quick else await off_loop(batch_parts, *args)
            clock.note("serialize")
            return Answer(sent.writer.media_type, parts)

    def _parsed(self, sent: Sent) -> list[Entry]:
        settings = self._settings
        message = decode_batch(sent.reader, sent.plain(settings), settings.max_elements)
        entries = parse_batch(message, most_calls=settings.max_batch_calls)
        elements = elements_of(entries)
        if elements > settings.max_batch_elements:
            raise TooLarge(
                "the calls of the batch take too many elements, all in all",
                at="calls",
                expected=f"at most {settings.max_batch_elements} (LOSSD_MAX_BATCH_ELEMENTS)",
                got=str(elements),
            )
        return entries

    async def _answer(self, entry: Entry) -> Message | LossdError:
        """One call's answer, or its problem, whatever it is: the others go on."""
        call = entry.outcome
        if not isinstance(call, Call):
            return call
        await asyncio.sleep(0)  # small calls are computed here, and others wait for the loop
        try:
            result = await self._engine.submit(call, timeout_s=self._settings.timeout_s)
            return to_message(call, result)
        except LossdError as err:
            return within(entry.at, err)
        except Exception:
            _log.exception("%s of a batch failed", entry.at)
            return within(entry.at, InternalError("a bug in lossd; its log has more"))
