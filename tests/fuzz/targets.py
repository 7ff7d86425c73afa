"""What the fuzzer calls: every reader of bytes from outside, and requests to begin with."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lossd.errors import LossdError
from lossd.wire import CODECS, Message, expand
from lossd.wire.oip import read_raw, read_request

MOST_ELEMENTS = 100_000
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Target:
    """`read` takes bytes and gives tensors, or raises a `LossdError` that is a 4xx."""

    read: Callable[[bytes], dict[str, torch.Tensor]]
    seeds: tuple[bytes, ...]


def _messages() -> list[Message]:
    fields = {"params": {"label_smoothing": 0.1}, "wrt": ["logits"], "dtype": "float64"}
    return [
        Message({"logits": torch.randn(3, 4), "labels": torch.tensor([0, 1, 3])}, fields),
        Message({"w/a": torch.zeros(2, 2, dtype=torch.float16), "w/b": torch.ones(3).double()}),
        Message({"x": torch.zeros(0, 3), "y": torch.tensor([True, False])}),
    ]


def _codec(media_type: str) -> Target:
    codec = CODECS[media_type]
    seeds = tuple(codec.encode(each) for each in _messages())

    def read(data: bytes) -> dict[str, torch.Tensor]:
        return dict(codec.decode(data, MOST_ELEMENTS).tensors)

    return Target(read, seeds)


def _json() -> Target:
    texts = [
        {"inputs": {"logits": [[1.5, -2e3], [0, "NaN"]], "labels": [0, 1]}, "wrt": ["logits"]},
        {"inputs": {"x": {"dtype": "float32", "shape": [2], "data": "AAAAAAAAgD8="}}},
        {"inputs": {"w": {"a": [[[1, 2], [3, 4]]], "b": []}}, "params": {"gamma": 2.0}},
    ]
    codec = CODECS["application/json"]
    return Target(
        lambda data: dict(codec.decode(data, MOST_ELEMENTS).tensors),
        tuple(json.dumps(each).encode() for each in texts),
    )


def _npz() -> Target:
    """A zip's checksums stop a blind fuzzer, so after the byte 1 it writes members itself."""
    codec = CODECS["application/x-npz"]

    def read(data: bytes) -> dict[str, torch.Tensor]:
        body = data[1:]
        if data[:1] == b"\1":
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for i, member in enumerate(body.split(b"--member--")[:20]):
                    archive.writestr(f"x{i}.npy", member)
            body = buffer.getvalue()
        return dict(codec.decode(body, MOST_ELEMENTS).tensors)

    whole = [b"\0" + codec.encode(each) for each in _messages()]
    members = []
    for each in _messages():
        with zipfile.ZipFile(io.BytesIO(codec.encode(each))) as archive:
            members.append(b"\1" + b"--member--".join(map(archive.read, archive.namelist())))
    return Target(read, (*whole, *members))


def _oip() -> Target:
    """The first two bytes are the length of the JSON header, or 65535 for none."""

    def read(data: bytes) -> dict[str, torch.Tensor]:
        size = int.from_bytes(data[:2], "little")
        body = np.frombuffer(bytearray(data[2:]), np.uint8)
        if size == 0:
            request = read_raw(body, "x", "FP32", MOST_ELEMENTS)
        else:
            request = read_request(body, None if size == 65535 else size, MOST_ELEMENTS)
        return {each.name: each.tensor for each in request.inputs if each.tensor is not None}

    tail = np.float32([[1, 2], [3, 4]]).tobytes()
    shm = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    binary = {"id": "1", "inputs": [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}},
        {"name": "y", "shape": [1], "datatype": "INT64", "parameters": shm}]}  # fmt: skip
    listed = {"parameters": {"binary_data_output": True, "gamma": 2.5},
              "outputs": [{"name": "rows", "parameters": {"classification": 3}}], "inputs": [
        {"name": "x", "shape": [2], "datatype": "FP64", "data": [3, "NaN"]},
        {"name": "y", "shape": [1, 2], "datatype": "BOOL", "data": [[True, False]]}]}  # fmt: skip
    header = json.dumps(binary).encode()
    return Target(read, (
        len(header).to_bytes(2, "little") + header + tail,
        b"\xff\xff" + json.dumps(listed).encode(),
        b"\0\0" + tail,
    ))  # fmt: skip


def _compressed() -> Target:
    encodings = ("gzip", "deflate", "zstd")

    def read(data: bytes) -> dict[str, torch.Tensor]:
        encoding = encodings[data[0] % len(encodings)] if data else "gzip"
        plain = expand(data[1:], encoding, MOST_BYTES)
        assert len(plain) <= MOST_BYTES
        return {"plain": torch.tensor(list(plain[:64]), dtype=torch.uint8)}

    import zstandard

    text = b"some text, some text" * 9
    return Target(
        read,
        (
            b"\0" + gzip.compress(text),
            b"\1" + zlib.compress(text),
            b"\2" + zstandard.compress(text),
        ),
    )


TARGETS: dict[str, Callable[[], Target]] = {
    "json": _json,
    "safetensors": lambda: _codec("application/vnd.safetensors"),
    "npz": _npz,
    "arrow": lambda: _codec("application/vnd.apache.arrow.stream"),
    "oip": _oip,
    "compressed": _compressed,
}


def attempt(target: Target, data: bytes) -> dict[str, torch.Tensor]:
    """Read bytes as the service would; nothing is raised that it would answer as a 4xx."""
    try:
        tensors = target.read(data)
    except LossdError as err:
        assert 400 <= err.status < 500, repr(err)
        return {}
    for x in tensors.values():
        if x.numel():
            x.double().sum().item()  # touch every element: a wrong length would crash here
    return tensors
