"""`POST /v2/models/{model}/infer`: a call of a loss as an inference request."""

import time
import zlib
from collections.abc import Sequence
from functools import partial

from lossd.api.body import BodyReader
from lossd.api.exchange import Answer, Handle, Incoming, QuickHandle
from lossd.api.oip import repeats
from lossd.api.oip.inference import Inference
from lossd.api.oip.models import find_model
from lossd.api.oip.regions import owner_of
from lossd.api.oip.repeats import Found, Repeats
from lossd.engine import Admission, Engine, Lease
from lossd.errors import LossdError, UnreadableBody
from lossd.losses import LossSpec
from lossd.settings import Settings
from lossd.store import Durations, Regions, Statistics
from lossd.wire import Body, Parts
from lossd.wire.oip import (
    OipRequest,
)
from lossd.wire.oip_reply import OipReply

SMALL_BYTES = 64 * 1024  # below this a thread costs more than reading or writing the body
_HEADER = "inference-header-content-length"


class Inferences:
    """Calls of losses as inference requests: JSON, or JSON and raw tensors behind it."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        settings: Settings,
        regions: Regions,
        statistics: Statistics,
    ) -> None:
        self.engine, self.settings, self.regions = engine, settings, regions
        self._admission, self._statistics = admission, statistics
        self._bodies = BodyReader(engine.buffers, settings)
        self._repeats = Repeats(engine, regions)

    def match(self, rest: str) -> Handle | None:
        """The handler of `{model}/infer` and `{model}/versions/{version}/infer`."""
        match rest.split("/"):
            case [model, "infer"]:
                return partial(self._infer, model, None)
            case [model, "versions", version, "infer"]:
                return partial(self._infer, model, version)
        return None

    def at_once(self, rest: str, incoming: Incoming) -> QuickHandle | None:
        """What answers requests that repeat one before."""
        model, _, last = rest.partition("/")
        plain = not incoming.header(b"content-encoding") and not incoming.header(_HEADER.encode())
        if last != "infer" or not plain or _coding(incoming.header(b"accept-encoding")):
            return None
        return partial(self._repeated, find_model(model, None), owner_of(incoming.header))

    def _repeated(
        self, spec: LossSpec, owner: str, body: bytes, seconds: dict[str, float]
    ) -> Answer | None:
        if len(body) > repeats.MOST_BYTES or not self._admission.has_room(len(body)):
            return None
        started_ns = time.perf_counter_ns()
        found = self._repeats.answer(spec.name, owner, body)
        if found is None:
            return None
        seconds["read"] = 0.0
        self._count(spec, found, seconds, started_ns, started_ns)
        return Answer("application/json", found.reply.parts)

    async def _infer(self, model: str, version: str | None, incoming: Incoming) -> Answer:
        spec = find_model(model, version)
        started_ns = time.perf_counter_ns()
        with self._admission.enter() as lease:
            try:
                return await self._run(spec, incoming, lease, started_ns)
            except LossdError:
                self._statistics.failed(spec.name, time.perf_counter_ns() - started_ns)
                raise

    async def _run(
        self, spec: LossSpec, incoming: Incoming, lease: Lease, started_ns: int
    ) -> Answer:
        header_bytes = _header_bytes(incoming)
        in_place = not incoming.header(b"content-encoding")
        body = await self._bodies.read(
            incoming, lease, in_place=in_place, boundary=header_bytes or 0
        )
        read_ns = time.perf_counter_ns()
        found = None
        if in_place and header_bytes is None and len(body) <= repeats.MOST_BYTES:
            found = self._repeats.answer(spec.name, owner_of(incoming.header), bytes(body))
        if found is None:
            found = await self._inferred(spec, incoming, body, header_bytes)
        answer = await self._answer(found.reply, incoming)
        self._count(spec, found, incoming.seconds, started_ns, read_ns)
        return answer

    def _count(
        self,
        spec: LossSpec,
        found: Found,
        seconds: dict[str, float],
        started_ns: int,
        read_ns: int,
    ) -> None:
        """Add an answer to the statistics, and its phases to what the caller is told."""
        done_ns = time.perf_counter_ns()
        self._statistics.succeeded(
            spec.name,
            max(1, found.items),
            Durations(
                total=done_ns - started_ns,
                queue=found.queue_ns,
                input=found.parsed_ns - read_ns,
                infer=max(0, found.computed_ns - found.parsed_ns - found.queue_ns),
                output=done_ns - found.computed_ns,
            ),
        )
        seconds |= {
            "queue": found.queue_ns / 1e9,
            "compute": found.compute_s,
            "parse": (found.parsed_ns - read_ns) / 1e9,
            "serialize": (done_ns - found.computed_ns) / 1e9,
        }

    async def _inferred(
        self, spec: LossSpec, incoming: Incoming, body: Body, header_bytes: int | None
    ) -> Found:
        inference = Inference(spec, incoming, self.settings, self.regions)
        small = len(body) <= SMALL_BYTES and not incoming.header(b"content-encoding")
        if not small:
            asked, call = await self.engine.off_loop(inference.parse, body, header_bytes)
        else:
            asked = inference.read(body, header_bytes)
            small = inference.is_quick(asked)
            call = (
                inference.call(asked)
                if small
                else await self.engine.off_loop(inference.call, asked)
            )
        parsed_ns = time.perf_counter_ns()
        result = await self.engine.submit(call, timeout_s=self._timeout_s(asked))
        computed_ns = time.perf_counter_ns()
        reply = (
            inference.reply(asked, call, result)
            if small
            else await self.engine.off_loop(inference.reply, asked, call, result)
        )
        if small and header_bytes is None and len(body) <= repeats.MOST_BYTES:
            self._repeats.learn(owner_of(incoming.header), bytes(body), asked, call, result, reply)
        queue_ns = round(1e9 * result.seconds.get("queue", 0.0))
        compute_s = result.seconds["compute"]
        return Found(reply, result.count, parsed_ns, computed_ns, compute_s, queue_ns)

    def _timeout_s(self, asked: OipRequest) -> float:
        """The protocol counts a timeout in microseconds; 0 is none."""
        timeout = asked.parameters.get("timeout")
        most_s = self.settings.timeout_s
        return min(most_s, timeout / 1e6) if type(timeout) is int and timeout > 0 else most_s

    async def _answer(self, reply: OipReply, incoming: Incoming) -> Answer:
        headers: dict[str, str] = {}
        media_type = "application/json"
        if reply.header_bytes is not None:
            media_type = "application/octet-stream"
            headers[_HEADER] = str(reply.header_bytes)
        parts: Parts = reply.parts
        coding = _coding(incoming.header(b"accept-encoding"))
        if coding:
            parts = (await self.engine.off_loop(_compress, parts, coding),)
            headers["content-encoding"] = coding
        return Answer(media_type, parts, headers)


def _header_bytes(incoming: Incoming) -> int | None:
    text = incoming.header(_HEADER.encode())
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    raise UnreadableBody(
        "not a number of bytes", at=f"headers.{_HEADER}", expected="an integer", got=text[:50]
    )


def _coding(accepted: str) -> str | None:
    """A header that names one coding asks for it; lists are what libraries send by themselves."""
    name, _, quality = accepted.strip().lower().partition(";")
    return name if name in ("gzip", "deflate") and quality.strip() != "q=0" else None


def _compress(parts: Sequence[bytes | memoryview], coding: str) -> bytes:
    packer = zlib.compressobj(1, wbits=31 if coding == "gzip" else 15)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])
