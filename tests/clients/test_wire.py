"""What the SDK sends and reads, as bytes."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from lossd_client._wire import decode, encode, pack_all

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def body_of(header: Any, data: bytes = bytes(8)) -> bytearray:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return bytearray(len(text).to_bytes(8, "little") + text + data)


def test_tensors_are_sent_from_where_they_are() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    _, part = encode(pack_all({"x": x}), {})
    assert np.shares_memory(np.frombuffer(part, np.uint8), x)


def test_what_is_sent_is_safetensors_with_every_tensor_at_a_multiple_of_its_width() -> None:
    dtypes = ["bool", "int8", "int64", "float16", "uint16", "float64", "int32", "float32"]
    dtypes += ["uint64", "uint32", "int16", "uint8"]
    inputs = {dtype: np.arange(3).astype(dtype) for dtype in dtypes}
    group = {"a": torch.ones(2, dtype=torch.bfloat16), "ü": np.float32(4), "none": np.zeros((0, 2))}
    body = b"".join(encode(pack_all({**inputs, "group": group}), {"params": {"beta": 0.5}}))
    found = safetensors.torch.load(body)
    for dtype in dtypes:
        assert np.array_equal(found[dtype].numpy(), inputs[dtype])
        assert found[dtype].numpy().dtype == inputs[dtype].dtype
    assert found["group/a"].tolist() == [1, 1] and found["group/a"].dtype == torch.bfloat16
    assert (
        found["group/ü"] == 4 and found["group/ü"].shape == () and not found["group/none"].numel()
    )
    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    assert header.pop("__metadata__") == {"params": '{"beta": 0.5}'} and size % 8 == 0
    for name, entry in header.items():
        assert entry["data_offsets"][0] % found[name].element_size() == 0


def test_what_comes_is_read_in_place_and_can_be_written() -> None:
    tensors = {
        "a": torch.randn(3, 4),
        "b": torch.randn(5, dtype=torch.float64),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "one": torch.tensor(3.0, dtype=torch.bfloat16),
    }
    body = bytearray(safetensors.torch.save(tensors, {"loss": '"mse"'}))
    found, fields = decode(memoryview(body))
    assert fields == {"loss": "mse"} and found.keys() == tensors.keys()
    for name, array in found.items():
        assert isinstance(array, np.ndarray) and array.flags.writeable
        assert array.tolist() == tensors[name].tolist()
    assert np.shares_memory(found["a"], np.frombuffer(body, np.uint8))
    assert found["half"].dtype == np.float32 and found["one"].shape == ()


@pytest.mark.parametrize(
    "body",
    [
        bytearray(),
        bytearray(b"\xff" * 8),
        bytearray(b"\x09\0\0\0\0\0\0\0{}"),
        body_of(b"not json"),
        body_of(b"[" * 100_000),
        body_of(b"\xff\xfe\xfd"),
        body_of([]),
        body_of({"__metadata__": {"loss": 1}}),
        body_of({"__metadata__": {"loss": "not json"}}),
        body_of({"__metadata__": []}),
        body_of({"x": []}),
        body_of({"x": {**F32, "dtype": "F8_E4M3"}}),
        body_of({"x": {**F32, "dtype": None}}),
        body_of({"x": {**F32, "shape": [3]}}),
        body_of({"x": {**F32, "shape": [-1, -2]}}),
        body_of({"x": {**F32, "shape": [2.0]}}),
        body_of({"x": {**F32, "shape": [True, 2]}}),
        body_of({"x": {**F32, "shape": [0, 1 << 70], "data_offsets": [0, 0]}}),
        body_of({"x": {**F32, "shape": [1] * 100 + [2]}}),
        body_of({"x": {**F32, "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}),
        body_of({"x": {**F32, "data_offsets": [8, 0]}}),
        body_of({"x": {**F32, "data_offsets": [4, 12]}}),
        body_of({"x": {**F32, "data_offsets": [0, 4, 8]}}),
    ],
)
def test_bytes_that_are_no_answer_are_refused(body: bytearray) -> None:
    with pytest.raises(ValueError):
        decode(body)
