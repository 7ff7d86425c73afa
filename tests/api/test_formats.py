"""Every format, every family of losses, every dtype that the format carries: the same bits."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import Tensor

from case_requests import served
from lossd.losses import CATALOG
from lossd.schema import parse_call, to_message
from lossd.schema.describe import example_call
from lossd.wire import ARROW, CODECS, DTYPES, Message
from lossd.wire.oip import DATATYPES, NAMES

OIP, JSON = "oip", "application/json"
FAMILIES = {spec.family: spec for spec in CATALOG.values()}
CARRIED = {name: codec.dtypes for name, codec in CODECS.items()} | {
    OIP: tuple(name for name, dtype in DTYPES.items() if dtype in DATATYPES.values())
}
WHOLE = [
    (form, family, dtype) for form, dtypes in CARRIED.items() for family in FAMILIES
    for dtype in dtypes
]  # fmt: skip


def message_in(family: str, dtype: torch.dtype) -> Message:
    """The example of a loss, with its real numbers in this dtype, or its integers."""
    call = example_call(FAMILIES[family])
    tensors = {key: _cast(x, dtype) for key, x in call.inputs.items()}
    fields = {
        "params": call.params.model_dump(mode="json"),
        "outputs": ["value", "rows", "gradients"],
    }
    return Message(tensors, fields)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A label of -1 stays as it is where the dtype has no such number."""
    if x.is_floating_point() != dtype.is_floating_point:
        return x
    cast = x.to(dtype)
    return cast if x.is_floating_point() or torch.equal(cast.to(x.dtype), x) else x


def post(http: httpx.Client, form: str, loss: str, message: Message) -> dict[str, Tensor]:
    if form == OIP:
        return post_oip(http, loss, message)
    if form == JSON:
        inputs: dict[str, Any] = {}
        for key, x in message.tensors.items():
            head, _, member = key.partition("/")
            if member:
                inputs.setdefault(head, {})[member] = typed(x)
            else:
                inputs[head] = typed(x)
        body = json.dumps({"inputs": inputs, **message.fields}).encode()
    else:
        body = CODECS[form].encode(in_metadata(message) if form == ARROW else message)
    got = http.post(f"/v1/losses/{loss}", content=body, headers={"content-type": form})
    assert got.is_success, got.text
    assert got.headers["content-type"] == form
    if form == JSON:
        return flat(got.json())
    answer = CODECS[form].decode(got.content, 10**6)
    numbers = {key: torch.tensor(x, dtype=torch.float64) for key, x in answer.fields.items()
               if isinstance(x, float)}  # fmt: skip
    return {**numbers, **answer.tensors}


def in_metadata(message: Message) -> Message:
    """A number of no row is no column of Arrow: it goes where the schema keeps such inputs."""
    scalars = {key: typed(x) for key, x in message.tensors.items() if not x.ndim}
    columns = {key: x for key, x in message.tensors.items() if x.ndim}
    return Message(columns, {**message.fields, "inputs": scalars} if scalars else message.fields)


def typed(x: Tensor) -> dict[str, Any]:
    data = base64.b64encode(x.reshape(-1).view(torch.uint8).numpy().tobytes()).decode()
    return {"dtype": str(x.dtype)[6:], "shape": list(x.shape), "data": data}


def flat(answer: dict[str, Any]) -> dict[str, Tensor]:
    found = {key: torch.tensor(answer[key], dtype=torch.float64)
             for key in ("value", "sum", "denominator", "rows")}  # fmt: skip
    for name, x in answer["gradients"].items():
        members = {f"{name}/{key}": each for key, each in x.items()} if isinstance(x, dict) else {
            name: x}  # fmt: skip
        found |= {f"gradients.{key}": torch.tensor(each, dtype=torch.float64)
                  for key, each in members.items()}  # fmt: skip
    return found


def post_oip(http: httpx.Client, loss: str, message: Message) -> dict[str, Tensor]:
    tails = {key: x.reshape(-1).view(torch.uint8).numpy().tobytes()
             for key, x in message.tensors.items()}  # fmt: skip
    inputs = [
        {"name": key, "datatype": NAMES[x.dtype], "shape": list(x.shape),
         "parameters": {"binary_data_size": len(tails[key])}}
        for key, x in message.tensors.items()
    ]  # fmt: skip
    params = {"params": json.dumps(message.fields["params"]), "binary_data_output": True}
    header = json.dumps({"inputs": inputs, "parameters": params}).encode()
    got = http.post(
        f"/v2/models/{loss}/infer",
        content=header + b"".join(tails.values()),
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    assert got.is_success, got.text
    size = int(got.headers["inference-header-content-length"])
    found, position = {}, size
    for each in json.loads(got.content[:size])["outputs"]:
        end = position + each["parameters"]["binary_data_size"]
        data = np.frombuffer(bytearray(got.content[position:end]), np.uint8)
        tensor = torch.from_numpy(data).view(DATATYPES[each["datatype"]])
        found[each["name"]] = tensor.reshape(each["shape"])
        position = end
    return found


@pytest.mark.parametrize(("form", "family", "dtype"), WHOLE)
def test_every_format_gives_the_same_bits(
    http: httpx.Client, form: str, family: str, dtype: str
) -> None:
    spec, message = FAMILIES[family], message_in(family, DTYPES[dtype])
    call = parse_call(spec.name, message)
    want = {key: x for key, x in to_message(call, served(call)).all_tensors.items()
            if key != "count"}  # fmt: skip
    got = post(http, form, spec.name, message)
    assert any(key.startswith("gradients.") for key in want)
    for key, x in want.items():
        # JSON has the shortest digits that name the number in its own dtype.
        assert torch.equal(got[key].to(x.dtype).reshape(x.shape), x), key
