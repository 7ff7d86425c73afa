"""What the fuzzer calls: every reader of bytes from outside, and requests to begin with."""

import contextlib
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
import zstandard
from safetensors import SafetensorError

from lossd.errors import LossdError
from lossd.wire import CODECS, Message, arrow_stream, expand
from lossd.wire import json as json_codec
from lossd.wire.arrow_stream import Frame, Frames
from lossd.wire.oip import read_raw, read_request

# Small enough for inputs of a few KiB to go beyond.
MOST_ELEMENTS = 1000
MOST_BYTES = 1 << 14


@dataclass(frozen=True)
class Target:
    """`read` takes bytes and gives tensors, or raises a `LossdError` that is a 4xx.

    `words` are pieces of the format that a fuzzer would be long in guessing.
    """

    read: Callable[[Any], dict[str, torch.Tensor]]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()


def _messages() -> list[Message]:
    fields = {"params": {"label_smoothing": 0.1}, "wrt": ["logits"], "dtype": "float64"}
    return [
        Message(
            {"logits": torch.linspace(-1, 2, 12).reshape(3, 4), "labels": torch.tensor([0, 1, 3])},
            fields,
        ),
        Message({"w/a": torch.zeros(2, 2, dtype=torch.float16), "w/b": torch.ones(3).double()}),
        Message({"x": torch.zeros(0, 3), "y": torch.tensor([True, False])}),
        Message({"x": torch.zeros(32, dtype=torch.uint8)}),
    ]


def _codec(media_type: str) -> Target:
    codec = CODECS[media_type]
    seeds = tuple(codec.encode(each) for each in _messages())

    def read(data: bytes) -> dict[str, torch.Tensor]:
        return dict(codec.decode(data, MOST_ELEMENTS).tensors)

    return Target(read, seeds)


def _safetensors() -> Target:
    """What is read is what the format's own library reads, if that reads it too."""
    target = _codec("application/vnd.safetensors")

    def read(data: bytes) -> dict[str, torch.Tensor]:
        # Writable and not aligned, as a body may be.
        tensors = target.read(memoryview(bytearray(data)))
        with contextlib.suppress(SafetensorError, KeyError, ValueError, RuntimeError):
            theirs = safetensors.torch.load(data)
            assert {name: _bytes(x) for name, x in theirs.items()} == {
                name: _bytes(x) for name, x in tensors.items()
            }
        return tensors

    words = ('"dtype":"F32"', '"dtype":"I64"', '"dtype":"BF16"', '"dtype":"BOOL"', '"shape":[1]',
             '"data_offsets":[0,4]', '"__metadata__":{', '"F8_E4M3"', '"C64"')  # fmt: skip
    return Target(read, target.seeds, words)


def _bytes(x: torch.Tensor) -> tuple[str, list[int], bytes]:
    return str(x.dtype), list(x.shape), x.reshape(-1).view(torch.uint8).numpy().tobytes()


def _arrow() -> Target:
    target = _codec("application/vnd.apache.arrow.stream")
    words = ("\xff\xff\xff\xff", "inputs", "layout", '"whole"', '"rows"', "pandas", "\x08\0\0\0")
    numbers, _, lists = (each[1:] for each in _arrow_streams())
    return Target(target.read, (*target.seeds, numbers, lists), words)


def _json() -> Target:
    texts = [
        {"inputs": {"logits": [[1.5, -2e3], [0, "NaN"]], "labels": [0, 1]}, "wrt": ["logits"]},
        {"inputs": {"x": {"dtype": "float32", "shape": [2], "data": "AAAAAAAAgD8="}}},
        {"inputs": {"w": {"a": [[[1, 2], [3, 4]]], "b": []}}, "params": {"gamma": 2.0}},
        {"inputs": {"y": {"dtype": "int8", "shape": [1, 2], "data": [[1, 2]]}}, "row_weights": [2]},
    ]
    codec = CODECS["application/json"]

    def read(data: bytes) -> dict[str, torch.Tensor]:
        """What is read is what Python reads, number by number."""
        message = codec.decode(data, MOST_ELEMENTS)
        try:
            said = _flat(json.loads(data))
        except (ValueError, RecursionError):  # in a part that is not read: a member said twice
            return dict(message.tensors)
        for name in message.untyped:
            x = message.tensors[name]
            assert repr(_numbers(said[name], x.is_floating_point())) == repr(x.tolist()), name
        return dict(message.tensors)

    return Target(
        read,
        tuple(json.dumps(each).encode() for each in texts),
        ('"inputs":', '"dtype":', '"shape":[', '"data":', '"row_weights":', '"float16"', '"int8"',
         '"uint64"', '"bool"', '"NaN"', '"-Infinity"', "[[", "]]", "],[", "1e308", "null"),
    )  # fmt: skip


def _json_scan() -> Target:
    """As `json`, but small bodies go through the scan that is meant for large ones."""
    target = _json()

    def read(data: bytes) -> dict[str, torch.Tensor]:
        large_bytes, json_codec.LARGE_BYTES = json_codec.LARGE_BYTES, 1
        try:
            return target.read(data)
        finally:
            json_codec.LARGE_BYTES = large_bytes

    return Target(read, target.seeds, target.words)


def _flat(call: Any) -> dict[str, Any]:
    """What a call says of its tensors, by name; a group's as `group/member`."""
    said = {name: call[name] for name in ("row_weights", "cotangent") if name in call}
    for name, value in call.get("inputs", {}).items():
        if isinstance(value, dict) and not value.keys() >= {"dtype", "shape", "data"}:
            said |= {f"{name}/{member}": each for member, each in value.items()}
        else:
            said[name] = value
    return said


def _numbers(value: Any, real: bool) -> Any:
    if isinstance(value, list):
        return [_numbers(each, real) for each in value]
    return float(value) if real else value


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
    return Target(
        read,
        (*whole, *members),
        ("'descr': '<f4'", "'descr': '>i8'", "'descr': '<U3'", "'fortran_order': True",
         "'shape': (", "--member--", "\x93NUMPY\x01\x00", "\x93NUMPY\x02\x00", "PK\x01\x02"),
    )  # fmt: skip


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
    ), ('"inputs":[{', '"name":"x"', '"shape":[', '"datatype":"FP32"', '"datatype":"INT64"',
        '"datatype":"BOOL"', '"datatype":"FP16"', '"data":[', '"parameters":{', '"outputs":[{',
        '"binary_data_size":', '"binary_data":true', '"classification":', '"id":',
        '"shared_memory_region":"r"', '"shared_memory_byte_size":', '"shared_memory_offset":',
        "true", "false", "null", "1e308", '"NaN"'))  # fmt: skip


def _compressed() -> Target:
    encodings = ("gzip", "deflate", "zstd")

    def read(data: bytes) -> dict[str, torch.Tensor]:
        encoding = encodings[data[0] % len(encodings)] if data else "gzip"
        plain = expand(data[1:], encoding, MOST_BYTES)
        assert len(plain) <= MOST_BYTES
        return {"plain": torch.tensor(list(plain[:64]), dtype=torch.uint8)}

    text = b"some text, some text" * 9
    return Target(
        read,
        (
            b"\0" + gzip.compress(text),
            b"\1" + zlib.compress(text),
            b"\2" + zstandard.compress(text),
        ),
    )


def _arrow_stream() -> Target:
    """The first byte is the length of the chunks that the stream comes in; 0 is one chunk."""

    def frames_of(body: bytes, step: int) -> tuple[list[Frame], LossdError | None, bool]:
        frames, found = Frames(MOST_BYTES, "LOSSD_MAX_STREAM_BATCH_BYTES"), []
        try:
            for chunk in arrow_stream.pieces(body, step):
                for frame in frames.feed(chunk):
                    found.append(frame)
        except LossdError as err:
            return found, err, frames.ended
        return found, None, frames.ended

    def read(data: bytes) -> dict[str, torch.Tensor]:
        body, step = data[1:], data[0] if data else 0
        frames, err, ended = frames_of(body, step or len(body) or 1)
        whole, whole_err, whole_ended = frames_of(body, len(body) or 1)
        same = (frames, repr(err), ended) == (whole, repr(whole_err), whole_ended)
        assert same, "the frames of a stream depend on how it was cut"
        tensors = _read_batches(frames)
        if err is not None and not tensors:
            raise err
        return tensors

    return Target(read, _arrow_streams(), ("\xff\xff\xff\xff", "\0\0\0\0", "inputs", "layout"))


def _read_batches(frames: list[Frame]) -> dict[str, torch.Tensor]:
    """Every batch's columns of numbers; and every batch is written again, as one passed through."""
    reader = arrow_stream.BatchReader(MOST_BYTES, "LOSSD_MAX_STREAM_BATCH_BYTES")
    writer = None
    tensors: dict[str, torch.Tensor] = {}
    for number, frame in enumerate(frames):
        batch = reader.read(frame)
        if frame.head.kind == "schema":
            arrow_stream.read_fields(reader.schema, MOST_ELEMENTS)
            writer = arrow_stream.BatchWriter(pa.schema(list(reader.schema)))
        if batch is None or writer is None:
            continue
        assert writer.write(batch.replace_schema_metadata(None))
        elements = arrow_stream.Elements(MOST_ELEMENTS)
        for i, name in enumerate(batch.schema.names):
            with contextlib.suppress(LossdError):  # texts and the like, which only pass through
                tensors[f"{number}.{i}"] = arrow_stream.read_column(name, batch.column(i), elements)
    return tensors


def _arrow_streams() -> tuple[bytes, ...]:
    numbers = pa.table(
        {"logits": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)), "labels": [0, 1]},
    ).replace_schema_metadata({"params": "{}", "inputs": '{"class_weights": [1, 2]}'})
    kinds = pa.array(["x", "y", "x"]).dictionary_encode()
    texts = pa.table({"name": ["a", None, "b"], "kind": kinds,
                      "when": pa.array([0, 1, 2], pa.timestamp("s", "UTC")),
                      "parts": [{"u": 1, "v": [2.5]}, None, {"u": 3, "v": []}]})  # fmt: skip
    bytes_of = pa.array([list(range(6))] * 6, pa.list_(pa.uint8()))
    lists = pa.table({"x": bytes_of, "flag": [True, False] * 3})
    seeds = []
    for table, step in ((numbers, 0), (texts, 200), (lists, 1)):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
            writer.write_table(table.slice(1))
        seeds.append(bytes([step]) + sink.getvalue())
    return tuple(seeds)


TARGETS: dict[str, Callable[[], Target]] = {
    "json": _json,
    "json_scan": _json_scan,
    "safetensors": _safetensors,
    "npz": _npz,
    "arrow": _arrow,
    "arrow_stream": _arrow_stream,
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


def holds_planted_number(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether a bug planted behind a reader would show: no seed holds the number 7."""
    return any(bool((x.double() == 7).any()) for x in tensors.values())
