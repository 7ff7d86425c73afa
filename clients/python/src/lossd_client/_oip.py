"""Calls and answers of the Open Inference Protocol, with large tensors in shared memory."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import Packed
from lossd_client._calls import Answer, Request, seconds_of
from lossd_client._memory import Bytes
from lossd_client._wire import to_json
from lossd_client.result import Result, Sent, result_of

DATATYPES: Mapping[str, str] = {
    "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64", "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u")
       for bits in (8, 16, 32, 64)},
}  # fmt: skip
_DTYPES = {code: np.dtype("u2" if name == "bfloat16" else name) for name, code in DATATYPES.items()}
_SCALARS = ("value", "sum", "denominator", "count")
_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a region, in bytes."""

    region: str
    offset: int
    size: int

    def parameters(self) -> dict[str, Any]:
        """As the protocol names it."""
        return {
            "shared_memory_region": self.region,
            "shared_memory_offset": self.offset,
            "shared_memory_byte_size": self.size,
        }


def infer_request(
    loss: str,
    packed: Mapping[str, Packed],
    fields: Mapping[str, Any],
    inputs: Mapping[str, Place],
    outputs: Mapping[str, Place],
    more: Sequence[str] = (),
) -> Request:
    """A call. Inputs without a place are in its body; so is what `outputs` does not place.

    `more` are outputs beside value, rows and gradients.
    """
    wanted = fields.get("outputs", ["value", "gradients"])
    body: dict[str, Any] = {
        "inputs": [_described(name, one, inputs.get(name)) for name, one in packed.items()],
        # Of this route the default is all there is, rows too.
        "parameters": {"binary_data_output": True, **_parameters({"outputs": wanted, **fields})},
    }
    if outputs:
        small = [*_SCALARS, *(["rows"] if "rows" in wanted else []), *more]
        body["outputs"] = [{"name": name} for name in small] + [
            {"name": name, "parameters": place.parameters()} for name, place in outputs.items()
        ]
    header = to_json(body).encode()
    tail = [one.buffer.reshape(-1).view(np.uint8).data
            for name, one in packed.items() if name not in inputs]  # fmt: skip
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(len(header) + sum(map(len, tail))),
        _LENGTH: str(len(header)),
    }
    return Request("POST", f"/v2/models/{loss}/infer", [header, *tail], headers)


def read_infer(
    answer: Answer, placed: Mapping[str, Bytes], scalars: Collection[str], sent: Sent
) -> Result:
    """The result in an answer; `placed` are the bytes where outputs were placed.

    The protocol has no scalars, only lists of one: `scalars` says which outputs are meant to be.
    Raises `LossdError` if the answer holds no result.
    """
    try:
        return _result(answer, placed, {*_SCALARS, *scalars}, sent)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as err:
        raise answer.unreadable(err) from err


def _described(name: str, one: Packed, place: Place | None) -> dict[str, Any]:
    there = {"binary_data_size": one.buffer.nbytes} if place is None else place.parameters()
    datatype = DATATYPES[one.dtype]
    return {"name": name, "datatype": datatype, "shape": one.shape, "parameters": there}


def _parameters(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The other fields of a call; those that are no plain values as JSON text."""
    return {
        name: to_json(value) if isinstance(value, dict | list) else value
        for name, value in fields.items()
    }


def _result(
    answer: Answer, placed: Mapping[str, Bytes], scalars: Collection[str], sent: Sent
) -> Result:
    size = int(answer.headers.get(_LENGTH, len(answer.body)))
    header = json.loads(bytes(answer.body[:size]))
    tensors: dict[str, NDArray[Any]] = {}
    for each in header["outputs"]:
        name = each["name"]
        if name in placed:
            data = placed[name]
        else:
            end = size + each["parameters"]["binary_data_size"]
            data = np.frombuffer(bytearray(answer.body[size:end]), np.uint8)  # aligned by the copy
            size = end
        tensors[name] = _as_array(data, each["datatype"], [] if name in scalars else each["shape"])
    said = header["parameters"]
    if said.get("value_is_null"):
        del tensors["value"]
    fields = {
        "loss": header["model_name"],
        "version": int(header["model_version"]),
        "params": json.loads(said["params"]),
        "warnings": json.loads(said.get("warnings", "[]")),
    }
    if "recipe" in said:
        fields["recipe"] = json.loads(said["recipe"])
    return result_of(tensors, fields, answer.request_id, seconds_of(answer.headers), sent)


def _as_array(data: Bytes, datatype: str, shape: list[int]) -> NDArray[Any]:
    flat = data.view(_DTYPES[datatype])
    if datatype == "BF16":  # numpy has none
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(shape)
