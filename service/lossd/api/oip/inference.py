"""One inference request: the call that it makes, and the reply that its result makes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.api.exchange import Incoming
from lossd.api.oip.regions import owner_of
from lossd.errors import UnexpectedInput, UnreadableBody
from lossd.losses import LossSpec
from lossd.schema import Call, Result, oip, parse_call, to_message
from lossd.settings import Settings
from lossd.store import Regions
from lossd.wire import Body, as_tensor, bytes_of, expand
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

QUICK_BYTES = 1024 * 1024  # of shared memory, which is copied once at most, in less than a hop
_ALIGNMENT = 8  # bytes: of the widest dtype


@dataclass(frozen=True, slots=True)
class Inference:
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
