"""`POST /v2/models/{model}/infer`: a call of a loss as an inference request."""

import math
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import torch
from fastapi import APIRouter, Request, Response
from torch import Tensor

from lossd.api.body import read_buffer
from lossd.api.depends import TheAdmission, TheEngine, TheRegions, TheSettings, TheStatistics
from lossd.api.oip.models import find_model
from lossd.api.oip.regions import owner_of
from lossd.api.parts import Parts
from lossd.engine import Engine, Lease
from lossd.errors import LossdError, UnexpectedInput, UnreadableBody
from lossd.losses import LossSpec
from lossd.schema import Call, Result, oip, parse_call, to_message
from lossd.settings import Settings
from lossd.store import Durations, Regions, Statistics
from lossd.wire import expand
from lossd.wire.oip import (
    DATATYPES,
    Bytes,
    OipOutput,
    OipRequest,
    as_tensor,
    read_raw,
    read_request,
)
from lossd.wire.oip_reply import OipReply, bytes_of, write_reply

SMALL_BYTES = 64 * 1024  # below this a thread costs more than reading or writing the body
_HEADER = "inference-header-content-length"
_REGION = b"shared_memory_region"

router = APIRouter(prefix="/v2")


@router.post("/models/{model}/infer", summary="Compute a loss and its gradients")
@router.post("/models/{model}/versions/{version}/infer", include_in_schema=False)
async def infer(
    model: str,
    request: Request,
    engine: TheEngine,
    admission: TheAdmission,
    settings: TheSettings,
    regions: TheRegions,
    statistics: TheStatistics,
    version: str | None = None,
) -> Response:
    """The body is JSON, or JSON and raw tensors behind it; Content-Type is not looked at."""
    spec = find_model(model, version)
    started_ns = time.perf_counter_ns()
    with admission.enter() as lease:
        inference = _Inference(spec, request, engine, settings, regions, statistics)
        try:
            return await inference.run(lease, started_ns)
        except LossdError:
            statistics.failed(spec.name, time.perf_counter_ns() - started_ns)
            raise


@dataclass(frozen=True, slots=True)
class _Inference:
    spec: LossSpec
    request: Request
    engine: Engine
    settings: Settings
    regions: Regions
    statistics: Statistics

    async def run(self, lease: Lease, started_ns: int) -> Response:
        header_bytes = _header_bytes(self.request)
        body = await read_buffer(self.request, lease, self.settings, header_bytes or 0)
        read_ns = time.perf_counter_ns()
        small = body.size <= SMALL_BYTES and "content-encoding" not in self.request.headers
        small = small and not (self.regions.enabled and _REGION in body.tobytes())
        asked, call = (
            self._parse(body, header_bytes)
            if small
            else await self.engine.off_loop(self._parse, body, header_bytes)
        )
        parsed_ns = time.perf_counter_ns()
        result = await self.engine.submit(call, timeout_s=self._timeout_s(asked))
        computed_ns = time.perf_counter_ns()
        reply = (
            self._reply(asked, call, result)
            if small
            else await self.engine.off_loop(self._reply, asked, call, result)
        )
        response = await self._response(reply)
        queue_ns = round(1e9 * result.seconds.get("queue", 0.0))
        done_ns = time.perf_counter_ns()
        self.statistics.succeeded(
            self.spec.name,
            max(1, result.count),
            Durations(
                total=done_ns - started_ns,
                queue=queue_ns,
                input=parsed_ns - read_ns,
                infer=max(0, computed_ns - parsed_ns - queue_ns),
                output=done_ns - computed_ns,
            ),
        )
        phases = {"parse": parsed_ns - read_ns, "serialize": done_ns - computed_ns}
        seconds = {name: ns / 1e9 for name, ns in phases.items()}
        self.request.state.seconds.update(result.seconds, **seconds)
        return response

    def _parse(self, body: Bytes, header_bytes: int | None) -> tuple[OipRequest, Call]:
        encoding = self.request.headers.get("content-encoding", "")
        if encoding:
            plain = expand(body.tobytes(), encoding, self.settings.max_body_bytes)
            body = np.frombuffer(bytearray(plain), np.uint8)
        most = self.settings.max_elements
        if header_bytes == 0:
            only = oip.raw_input(self.spec)
            asked = read_raw(body, only.name, "INT64" if only.kind == "int" else "FP32", most)
        else:
            asked = read_request(body, header_bytes, most)
        tensors = {each.name: each.tensor for each in asked.inputs if each.tensor is not None}
        owner = owner_of(self.request)
        # A caller can change its memory after it was checked. Only integers become indices (labels,
        # targets, sign and pair labels), so these are copied first, and the copy is what is
        # checked and used. Of floats nothing becomes an index or a size: an argmax or a sort of
        # them gives places within them whatever they hold, and torch's sorts work on copies. They
        # may be the caller's own memory: who changes them meanwhile gets a number that means
        # nothing, or a complaint that does. A loss or kernel that computes an index from a float
        # (a bin, a grid cell) must compute it once, and bound what it computed.
        for each in asked.inputs:
            if each.place is not None:
                region = self.regions.find(each.place.region, owner)
                data, is_shared = self.regions.view(region, each.place.offset, each.place.byte_size)
                dtype = DATATYPES[each.datatype]
                if is_shared and not dtype.is_floating_point:
                    data = data.copy()
                tensors[each.name] = as_tensor(data, dtype, each.shape)
        return asked, parse_call(self.spec.name, oip.to_message(self.spec, asked, tensors))

    def _timeout_s(self, asked: OipRequest) -> float:
        """The protocol counts a timeout in microseconds; 0 is none."""
        timeout = asked.parameters.get("timeout")
        most_s = self.settings.timeout_s
        return min(most_s, timeout / 1e6) if type(timeout) is int and timeout > 0 else most_s

    def _reply(self, asked: OipRequest, call: Call, result: Result) -> OipReply:
        message = to_message(call, result)
        parameters: dict[str, Any] = {"params": orjson.dumps(message.fields["params"]).decode()}
        for name in ("warnings", "recipe"):
            if message.fields.get(name):
                parameters[name] = orjson.dumps(message.fields[name]).decode()
        tensors = dict(message.tensors)
        if result.value is None:
            parameters["value_is_null"] = True
            tensors = {"value": torch.tensor(math.nan, dtype=torch.float64), **tensors}
        outputs = _wanted(asked, tensors)
        for each, tensor in outputs:
            self._store(each, tensor)
        return write_reply(
            model=self.spec.name,
            version=self.spec.version,
            request_id=asked.id,
            parameters=parameters,
            outputs=outputs,
        )

    def _store(self, wanted: OipOutput, tensor: Tensor) -> None:
        if wanted.place is None:
            return
        data = np.frombuffer(bytes_of(tensor), np.uint8)
        if data.size > wanted.place.byte_size:
            raise UnreadableBody(
                "the output is larger than its place in shared memory",
                at=f"outputs.{wanted.name}.shared_memory_byte_size",
                expected=f"at least {data.size} bytes",
                got=f"{wanted.place.byte_size} bytes",
            )
        region = self.regions.find(wanted.place.region, owner_of(self.request))
        self.regions.write(region, wanted.place.offset, data)

    async def _response(self, reply: OipReply) -> Response:
        headers = {"content-type": "application/json"}
        if reply.header_bytes is not None:
            headers["content-type"] = "application/octet-stream"
            headers[_HEADER] = str(reply.header_bytes)
        coding = _coding(self.request.headers.get("accept-encoding", ""))
        parts = reply.parts
        if coding:
            parts = (await self.engine.off_loop(_compress, parts, coding),)
            headers["content-encoding"] = coding
        return Parts(parts, headers)


def _header_bytes(request: Request) -> int | None:
    text = request.headers.get(_HEADER)
    if text is None:
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
