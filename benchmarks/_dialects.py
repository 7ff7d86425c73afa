"""How a call is written for each kind of server, and its answer read: not timed, but checked."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from safetensors.numpy import load as load_safetensors
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from benchmarks._calls import Answer, Call
from benchmarks._load import Request, Response
from lossd_client._wire import encode as encode_safetensors
from lossd_client._wire import pack_all

LOSS = "/v1/losses/cross_entropy"
MODEL = "/v2/models/cross_entropy/infer"
GRADIENTS = "gradients.logits"
JSON = "application/json"


@dataclass(frozen=True)
class Dialect:
    """Requests and answers of one kind. `read` gives None where an answer holds nothing."""

    write: Callable[[Call], Request]
    read: Callable[[Response], Answer | None]


def dumps(value: Any) -> bytes:
    """JSON with the fewest digits that give each float32 again: the same text for everyone."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def posting(path: str, media_type: str, body: bytes) -> Request:
    return Request(path, body, [("Content-Type", media_type), ("Accept", media_type)])


def flat(path: str) -> Dialect:
    """Logits and labels in, value, rows and gradients out, as one writes it at home."""

    def read(response: Response) -> Answer:
        got = orjson.loads(response.body)
        return Answer(got["value"], np.array(got["gradients"]), np.array(got["rows"]))

    return Dialect(lambda call: posting(path, JSON, dumps(call.tensors)), read)


def nothing(path: str) -> Dialect:
    """The same body, for a route that does not read it."""
    return Dialect(flat(path).write, lambda response: None)


# lossd's own


def _write_json(call: Call) -> Request:
    return posting(LOSS, JSON, dumps({"inputs": call.tensors, "outputs": call.outputs}))


def _read_json(response: Response) -> Answer:
    got = orjson.loads(response.body)
    return Answer(got["value"], np.array(got["gradients"]["logits"]), np.array(got.get("rows")))


def _write_safetensors(call: Call) -> Request:
    parts = encode_safetensors(pack_all(call.tensors), {"outputs": call.outputs})
    return posting(LOSS, "application/vnd.safetensors", b"".join(parts))


def _read_safetensors(response: Response) -> Answer:
    got = load_safetensors(response.body)
    return Answer(float(got["value"]), got[GRADIENTS], got.get("rows"))


def _write_npz(call: Call) -> Request:
    file = io.BytesIO()
    np.savez(file, **call.tensors, outputs=np.array(json.dumps(call.outputs)))
    return posting(LOSS, "application/x-npz", file.getvalue())


def _read_npz(response: Response) -> Answer:
    with np.load(io.BytesIO(response.body)) as got:
        rows = got.get("rows")
        return Answer(float(got["value"][()]), got[GRADIENTS], rows)


def _write_arrow(call: Call) -> Request:
    logits = pa.FixedSizeListArray.from_arrays(call.logits.reshape(-1), call.logits.shape[1])
    table = pa.table({"logits": logits, "labels": call.labels})
    table = table.replace_schema_metadata({"outputs": json.dumps(call.outputs)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return posting(LOSS, "application/vnd.apache.arrow.stream", sink.getvalue().to_pybytes())


def _read_arrow(response: Response) -> Answer:
    table = pa.ipc.open_stream(response.body).read_all()
    gradients = table[GRADIENTS].combine_chunks()
    rows = np.asarray(table["rows"]) if "rows" in table.column_names else None
    flat_values = gradients.flatten().to_numpy(zero_copy_only=False)
    value = json.loads(table.schema.metadata[b"value"])
    return Answer(value, flat_values.reshape(len(gradients), -1), rows)


# Open Inference Protocol


def oip_names(call: Call) -> list[str]:
    return ["value", *(["rows"] if call.wants_rows else []), GRADIENTS]


def oip_inputs(call: Call) -> list[InferInput]:
    """The tensors for tritonclient, which copies them here."""
    made = []
    for name, x in call.tensors.items():
        datatype = "FP32" if x.dtype == np.float32 else "INT64"
        made.append(InferInput(name, list(x.shape), datatype).set_data_from_numpy(x))
    return made


def oip_outputs(call: Call) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=True) for name in oip_names(call)]


def _write_oip_json(call: Call) -> Request:
    inputs = [
        {
            "name": name,
            "shape": list(x.shape),
            "datatype": "FP32" if x.dtype == np.float32 else "INT64",
            "data": x.reshape(-1),
        }
        for name, x in call.tensors.items()
    ]
    outputs = [{"name": name} for name in oip_names(call)]
    return posting(MODEL, JSON, dumps({"inputs": inputs, "outputs": outputs}))


def _read_oip_json(response: Response) -> Answer:
    outputs = orjson.loads(response.body)["outputs"]
    got = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in outputs}
    return Answer(float(got["value"].reshape(-1)[0]), got[GRADIENTS], _vector(got.get("rows")))


def _write_oip_binary(call: Call) -> Request:
    body, header_bytes = InferenceServerClient.generate_request_body(
        oip_inputs(call), outputs=oip_outputs(call)
    )
    headers = [("Inference-Header-Content-Length", str(header_bytes))]
    return Request(MODEL, body, headers)


def _read_oip_binary(response: Response) -> Answer:
    return oip_answer(
        InferenceServerClient.parse_response_body(
            response.body,
            header_length=int(response.headers["inference-header-content-length"]),
        )
    )


def oip_answer(result: Any) -> Answer:
    """Of what tritonclient has read."""
    value = float(result.as_numpy("value").reshape(-1)[0])
    return Answer(value, result.as_numpy(GRADIENTS), _vector(result.as_numpy("rows")))


def _vector(x: Any) -> Any:
    """MLServer's codec gives a vector a second dimension."""
    return None if x is None else x.reshape(-1)


LOSSD_JSON = Dialect(_write_json, _read_json)
OIP_JSON = Dialect(_write_oip_json, _read_oip_json)
OIP_BINARY = Dialect(_write_oip_binary, _read_oip_binary)
SAFETENSORS = Dialect(_write_safetensors, _read_safetensors)
FORMATS = {
    "json": LOSSD_JSON,
    "safetensors": SAFETENSORS,
    "npz": Dialect(_write_npz, _read_npz),
    "arrow": Dialect(_write_arrow, _read_arrow),
    "oip_binary": OIP_BINARY,
}
