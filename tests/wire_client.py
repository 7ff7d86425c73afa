"""A client of lossd written from docs/wire.md alone, with nothing but the standard library."""

import http.client
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# By the names in safetensors and in the Open Inference Protocol: the code of `array`.
CODES = {"F32": "f", "F64": "d", "I64": "q", "FP32": "f", "FP64": "d", "INT64": "q"}


@dataclass(frozen=True)
class Tensor:
    """Numbers in row-major order."""

    dtype: str
    shape: Sequence[int]
    numbers: Sequence[float]

    def to_bytes(self) -> bytes:
        return array(CODES[self.dtype], self.numbers).tobytes()


def tensor_of(dtype: str, shape: Sequence[int], data: bytes) -> Tensor:
    numbers = array(CODES[dtype])
    numbers.frombytes(data)
    assert len(numbers) == math.prod(shape)
    return Tensor(dtype, shape, numbers.tolist())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Any]


class Connection:
    """One connection to a service at a host and port."""

    def __init__(self, netloc: str) -> None:
        self._http = http.client.HTTPConnection(netloc, timeout=30)

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[Any, bytes]:
        self._http.request("POST", path, body, dict(headers))
        response = self._http.getresponse()
        return response, response.read()

    def safetensors(
        self, loss: str, tensors: Mapping[str, Tensor], fields: Mapping[str, Any]
    ) -> Answer:
        header: dict[str, Any] = {
            "__metadata__": {key: json.dumps(value) for key, value in fields.items()}
        }
        data = b""
        for name, each in tensors.items():
            begin = len(data)
            data += each.to_bytes()
            header[name] = {
                "dtype": each.dtype,
                "shape": list(each.shape),
                "data_offsets": [begin, len(data)],
            }
        text = json.dumps(header).encode()
        response, body = self._post(
            f"/v1/losses/{loss}",
            len(text).to_bytes(8, "little") + text + data,
            {"Content-Type": "application/vnd.safetensors"},
        )
        if response.status >= 400:
            return Answer(response.status, response.headers, {}, json.loads(body))
        size = int.from_bytes(body[:8], "little")
        assert (8 + size) % 64 == 0
        entries = json.loads(body[8 : 8 + size])
        metadata = entries.pop("__metadata__")
        found, covered = {}, 0
        for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            assert begin == covered
            covered = end
            part = body[8 + size + begin : 8 + size + end]
            found[name] = tensor_of(entry["dtype"], entry["shape"], part)
        assert 8 + size + covered == len(body)
        texts = {key: json.loads(text) for key, text in metadata.items()}
        return Answer(response.status, response.headers, found, texts)

    def inference(
        self,
        loss: str,
        tensors: Mapping[str, Tensor],
        parameters: Mapping[str, Any],
        outputs: Sequence[str],
    ) -> Answer:
        parts = {name: each.to_bytes() for name, each in tensors.items()}
        asked = {
            "parameters": {**parameters, "binary_data_output": True},
            "inputs": [
                {"name": name, "datatype": each.dtype, "shape": list(each.shape),
                 "parameters": {"binary_data_size": len(parts[name])}}
                for name, each in tensors.items()
            ],
            "outputs": [{"name": name} for name in outputs],
        }  # fmt: skip
        text = json.dumps(asked).encode()
        response, body = self._post(
            f"/v2/models/{loss}/infer",
            b"".join([text, *parts.values()]),
            {"Inference-Header-Content-Length": str(len(text))},
        )
        if response.status >= 400:
            return Answer(response.status, response.headers, {}, json.loads(body))
        at = int(response.headers["Inference-Header-Content-Length"])
        answered = json.loads(body[:at])
        found = {}
        for each in answered["outputs"]:
            end = at + each["parameters"]["binary_data_size"]
            found[each["name"]] = tensor_of(each["datatype"], each["shape"], body[at:end])
            at = end
        assert at == len(body)
        return Answer(response.status, response.headers, found, answered["parameters"])
