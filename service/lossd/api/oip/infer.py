"""`POST /v2/models/{model}/infer`: a call of a loss as an inference request."""

import math
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.api.body import BodyReader
from lossd.api.exchange import Answer, Handle, Incoming, QuickHandle
from lossd.api.oip import repeats
from lossd.api.oip.models import find_model
from lossd.api.oip.regions import owner_of
from lossd.api.oip.repeats import Found, Repeats
from lossd.engine import Admission, Engine, Lease
from lossd.errors import LossdError, UnexpectedInput, UnreadableBody
from lossd.losses import LossSpec
from lossd.schema import Call, Result, oip, parse_call, to_message
from lossd.settings import Settings
from lossd.store import Durations, Regions, Statistics
from lossd.wire import Body, Parts, as_tensor, bytes_of, expand
from lossd.wire.oip import (
    DATATYPES,
    OipInput,
    OipOutput,
    OipRequest,
    Place,
    read_raw,
    read_request,
)
from lossd.wire.oip_reply import OipReply, write_reply

SMALL_BYTES = 64 * 1024  # below this a thread costs more than reading or writing the body
QUICK_BYTES = 1024 * 1024  # the same for shared memory, which is copied once at most
_ALIGNMENT = 8  # bytes: of the widest dtype
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
        inference = _Inference(spec, incoming, self.settings, self.regions)
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


@dataclass(frozen=True, slots=True)
class _Inference:
    """One request to call, and one result to reply."""

    spec: LossSpec
    incoming: Incoming
    settings: Settings
    regions: Regions

    def parse(self, sent: Body, header_bytes: int | None) -> tuple[OipRequest, Call]:
        """The request in a body, and the call that it makes."""
        asked = self.read(sent, header_bytes)
        return asked, self.call(asked)

    def read(self, sent: Body, header_bytes: int | None) -> OipRequest:
        """The request in a body."""
        encoding = self.incoming.header(b"content-encoding")
        if encoding:
            sent = expand(bytes(sent), encoding, self.settings.max_body_bytes)
        body = np.frombuffer(sent, np.uint8)
        most = self.settings.max_elements
        if header_bytes == 0:
            only = oip.raw_input(self.spec)
            return read_raw(body, only.name, "INT64" if only.kind == "int" else "FP32", most)
        return read_request(body, header_bytes, most)

    def is_quick(self, asked: OipRequest) -> bool:
        """Whether what is in shared memory is reached in less time than another thread takes."""
        places = [each.place for each in asked.inputs if each.place is not None]
        places += [each.place for each in asked.outputs if each.place is not None]
        if not places:
            return True
        owner = owner_of(self.incoming.header)
        return sum(each.byte_size for each in places) <= QUICK_BYTES and all(
            self.regions.is_ready(each.region, owner) for each in places
        )

    def call(self, asked: OipRequest) -> Call:
        """The call that a request makes."""
        tensors = {each.name: each.tensor for each in asked.inputs if each.tensor is not None}
        owner = owner_of(self.incoming.header)
        by_region: dict[str, list[tuple[OipInput, Place]]] = {}
        for each in asked.inputs:
            if each.place is not None:
                by_region.setdefault(each.place.region, []).append((each, each.place))
        for name, placed in by_region.items():
            tensors |= self._placed(name, placed, owner)
        call = parse_call(self.spec.name, oip.to_message(self.spec, asked, tensors))
        options = call.options
        if options.gradient_form != "dense" or options.class_axis != 1:
            return call
        places = {
            each.name.removeprefix("gradients."): self._own_memory(each.place, owner)
            for each in asked.outputs
            if each.place is not None and each.name.startswith("gradients.")
        }
        if not places:
            return call
        inputs = [np.frombuffer(bytes_of(x), np.uint8) for x in call.inputs.values()]
        return replace(
            call,
            places={
                key: place
                for key, place in places.items()
                # An output over an input is stored when all is computed.
                if place is not None and not any(np.may_share_memory(place, x) for x in inputs)
            },
        )

    def _own_memory(self, place: Place, owner: str) -> NDArray[np.uint8] | None:
        """Memory of the caller's that can be written to as if it were the service's own."""
        region = self.regions.find(place.region, owner)
        data = self.regions.place(region, place.offset, place.byte_size)
        return None if data is None or data.ctypes.data % _ALIGNMENT else data

    def _placed(
        self, name: str, placed: Sequence[tuple[OipInput, Place]], owner: str
    ) -> dict[str, Tensor]:
        """The inputs in a region, which may be the caller's own memory, and change at any time.

        Only integers become indices (labels, signs, pairs), so they are copied before they are
        checked, and the copy is what is used. Of floats nothing becomes an index or a size: an
        argmax or a sort gives places within them whatever they hold, torch sorts copies, and
        kernels read no memory outside their arrays. So who changes floats meanwhile gets a number
        that means nothing, or a complaint that does. A loss that computes an index from a float (a
        bin, a grid cell) must compute it once, and bound what it computed.
        """
        region = self.regions.find(name, owner)
        parts = [(place.offset, place.byte_size) for _, place in placed]
        views, is_shared = self.regions.views(region, parts)
        tensors: dict[str, Tensor] = {}
        for (wanted, _), view in zip(placed, views, strict=True):
            dtype = DATATYPES[wanted.datatype]
            data = view.copy() if is_shared and not dtype.is_floating_point else view
            tensors[wanted.name] = as_tensor(data, dtype, wanted.shape)
        return tensors

    def reply(self, asked: OipRequest, call: Call, result: Result) -> OipReply:
        """The answer, with what goes into shared memory already there."""
        message = to_message(call, result)
        parameters: dict[str, Any] = {"params": orjson.dumps(message.fields["params"]).decode()}
        for name in ("warnings", "recipe"):
            if message.fields.get(name):
                parameters[name] = orjson.dumps(message.fields[name]).decode()
        tensors = message.all_tensors
        if result.value is None:
            parameters["value_is_null"] = True
            tensors = {"value": torch.tensor(math.nan, dtype=torch.float64), **tensors}
        outputs = _wanted(asked, tensors)
        for each, tensor in outputs:
            self._store(call, each, tensor)
        return write_reply(
            model=self.spec.name,
            version=self.spec.version,
            request_id=asked.id,
            parameters=parameters,
            outputs=outputs,
        )

    def _store(self, call: Call, wanted: OipOutput, tensor: Tensor) -> None:
        if wanted.place is None:
            return
        data = np.frombuffer(bytes_of(tensor), np.uint8)
        key = wanted.name.removeprefix("gradients.")
        if key in call.places and call.places[key].ctypes.data == data.ctypes.data:
            return  # it was written there
        if data.size > wanted.place.byte_size:
            raise UnreadableBody(
                "the output is larger than its place in shared memory",
                at=f"outputs.{wanted.name}.shared_memory_byte_size",
                expected=f"at least {data.size} bytes",
                got=f"{wanted.place.byte_size} bytes",
            )
        region = self.regions.find(wanted.place.region, owner_of(self.incoming.header))
        self.regions.write(region, wanted.place.offset, data)


def _header_bytes(incoming: Incoming) -> int | None:
    text = incoming.header(_HEADER.encode())
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    raise UnreadableBody(
        "not a number of bytes", at=f"headers.{_HEADER}", expected="an integer", got=text[:50]
    )


def _wanted(asked: OipRequest, tensors: Mapping[str, Tensor]) -> list[tuple[OipOutput, Tensor]]:
    if not asked.outputs:
        return [(OipOutput(name, asked.binary, 0, None), x) for name, x in tensors.items()]
    for each in asked.outputs:
        if each.name not in tensors:
            raise UnexpectedInput(
                "there is no output of that name",
                at=f"outputs.{each.name}"[:200],
                expected=f"one of {', '.join(tensors)}",
                got=each.name[:100],
            )
    return [(each, tensors[each.name]) for each in asked.outputs]


def _coding(accepted: str) -> str | None:
    """A header that names one coding asks for it; lists are what libraries send by themselves."""
    name, _, quality = accepted.strip().lower().partition(";")
    return name if name in ("gzip", "deflate") and quality.strip() != "q=0" else None


def _compress(parts: Sequence[bytes | memoryview], coding: str) -> bytes:
    packer = zlib.compressobj(1, wbits=31 if coding == "gzip" else 15)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])
