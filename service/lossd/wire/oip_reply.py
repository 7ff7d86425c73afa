"""Open Inference Protocol v2 replies: a JSON header, and raw tensors behind it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import torch
from torch import Tensor

from lossd.errors import NotAcceptable
from lossd.wire._checks import bytes_of
from lossd.wire._json_reply import as_json
from lossd.wire.oip import BINARY_ONLY, NAMES, OipOutput


@dataclass(frozen=True, slots=True)
class OipReply:
    """A body in parts; `header_bytes` is the length of its JSON, None where nothing is binary."""

    parts: tuple[bytes | memoryview, ...]
    header_bytes: int | None


def write_reply(
    *,
    model: str,
    version: int,
    request_id: str,
    parameters: Mapping[str, Any],
    outputs: Sequence[tuple[OipOutput, Tensor]],
) -> OipReply:
    """Write outputs as each is wanted. Raises `NotAcceptable` for half precision in JSON."""
    tail: list[bytes | memoryview] = []
    described = [_describe(wanted, tensor, tail) for wanted, tensor in outputs]
    header: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    if request_id:
        header["id"] = request_id
    if parameters:
        header["parameters"] = dict(parameters)
    header["outputs"] = described
    text = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY)
    binary = any("binary_data_size" in each.get("parameters", {}) for each in described)
    return OipReply((text, *tail), len(text) if binary else None)


def _describe(wanted: OipOutput, tensor: Tensor, tail: list[bytes | memoryview]) -> dict[str, Any]:
    datatype = NAMES[tensor.dtype]
    # A scalar is a list of one: the protocol's clients reshape by what is said here.
    shape = list(tensor.shape) or [1]
    if wanted.place is not None:
        # C++ clients want binary_data_size in any parameters that there are, so there are none.
        return {"name": wanted.name, "datatype": datatype, "shape": shape}
    if wanted.classes:
        labels = _classes(tensor.reshape(shape), wanted.classes)
        shape = [*shape[:-1], min(wanted.classes, shape[-1])]
        if not wanted.binary:
            return {"name": wanted.name, "datatype": "BYTES", "shape": shape, "data": labels}
        datatype = "BYTES"
        texts = [label.encode() for label in labels]
        data: bytes | memoryview = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    elif wanted.binary:
        data = bytes_of(tensor)
    else:
        if datatype in BINARY_ONLY:
            raise NotAcceptable(
                f"{datatype} cannot be written in JSON",
                at=f"outputs.{wanted.name}",
                expected="binary_data true, or another gradient_dtype",
            )
        listed = as_json(tensor.reshape(-1)) if tensor.dtype != torch.bool else tensor.tolist()
        return {"name": wanted.name, "datatype": datatype, "shape": shape, "data": listed}
    tail.append(data)
    described: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": shape}
    return described | {"parameters": {"binary_data_size": len(data)}}


def _classes(tensor: Tensor, most: int) -> list[str]:
    """`value:index` of the largest along the last axis, largest first."""
    values = tensor.double()
    order = values.sort(dim=-1, descending=True, stable=True)
    k = min(most, tensor.shape[-1])
    pairs = zip(
        order.values[..., :k].reshape(-1).tolist(),
        order.indices[..., :k].reshape(-1).tolist(),
        strict=True,
    )
    return [f"{value:f}:{index}" for value, index in pairs]
