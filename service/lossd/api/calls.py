"""`POST /v1/losses/{loss}`: calls, in any format."""

import time
from functools import partial

from lossd.api.body import BodyReader
from lossd.api.clock import Clock
from lossd.api.exchange import Answer, Handle, Incoming, QuickHandle
from lossd.api.express import Express
from lossd.engine import Admission, Engine
from lossd.losses import find
from lossd.schema import Call, parse_call, to_message
from lossd.settings import Settings
from lossd.wire import Body, Codec, expand, json, reader_for, writer_for

SMALL_BYTES = 64 * 1024  # below this a thread costs more than reading or writing the body
SMALL_ELEMENTS = 16 * 1024


class LossCalls:
    """Value, rows and gradients of one loss, answered in the format that is asked for."""

    def __init__(self, engine: Engine, admission: Admission, settings: Settings) -> None:
        self._engine, self._admission, self._settings = engine, admission, settings
        self._bodies = BodyReader(engine.buffers, settings)
        self._express = Express(engine)

    def match(self, rest: str) -> Handle | None:
        """The handler of calls of the loss that the path names."""
        return None if "/" in rest else partial(self._call, rest)

    def at_once(self, rest: str, incoming: Incoming) -> QuickHandle | None:
        """What answers calls in JSON like one before."""
        if incoming.header(b"content-encoding"):
            return None
        reader = reader_for(incoming.header(b"content-type"))
        writer = writer_for(incoming.header(b"accept"), default=reader)
        return partial(self._like_one_before, rest) if reader is writer is json else None

    def _like_one_before(self, loss: str, body: bytes, seconds: dict[str, float]) -> Answer | None:
        if not self._express.knows(loss) or not self._admission.has_room(len(body)):
            return None
        started_s = time.perf_counter()
        small = json.read_small(body, self._settings.max_elements)
        if small is None:
            return None
        kind = self._express.kind_of(loss, small)
        seconds["read"], seconds["parse"] = 0.0, time.perf_counter() - started_s
        text = self._express.answer(kind, small, seconds)
        return None if text is None else Answer(json.media_type, (text,))

    async def _call(self, loss: str, incoming: Incoming) -> Answer:
        with self._admission.enter() as lease:
            find(loss)
            reader = reader_for(incoming.header(b"content-type"))
            writer = writer_for(incoming.header(b"accept"), default=reader)
            encoding = incoming.header(b"content-encoding")
            in_place = reader.in_place and not encoding
            body = await self._bodies.read(incoming, lease, in_place=in_place)
            clock = Clock(incoming.seconds)
            small = None
            if reader is writer is json and not encoding and isinstance(body, bytes):
                small = json.read_small(body, self._settings.max_elements)
            if small is not None:
                kind = self._express.kind_of(loss, small)
                clock.note("parse")
                text = self._express.answer(kind, small, incoming.seconds)
                if text is not None:
                    return Answer(json.media_type, (text,))
                call = parse_call(loss, small.message())
            else:
                call = await self._parse(loss, body, encoding, reader)
            clock.note("parse")
            result = await self._engine.submit(call, timeout_s=self._settings.timeout_s)
            clock.skip(result.seconds)
            if small is not None:
                self._express.learn(kind, small, call, result)
            message = to_message(call, result)
            elements = sum([x.numel() for x in message.tensors.values()])
            quick, write = elements <= SMALL_ELEMENTS, writer.parts
            parts = write(message) if quick else await self._engine.off_loop(write, message)
            clock.note("serialize")
            return Answer(writer.media_type, parts)

    async def _parse(self, loss: str, body: Body, encoding: str, reader: Codec) -> Call:
        if len(body) <= SMALL_BYTES and not encoding:
            return self._parsed(loss, body, encoding, reader)
        return await self._engine.off_loop(self._parsed, loss, body, encoding, reader)

    def _parsed(self, loss: str, body: Body, encoding: str, reader: Codec) -> Call:
        plain = expand(bytes(body), encoding, self._settings.max_body_bytes) if encoding else body
        return parse_call(loss, reader.decode(plain, self._settings.max_elements))
