"""Arrow IPC streams: what other writers make, and what none of them should."""

import io
import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import (
    BadOption,
    LossdError,
    OutOfRange,
    TooLarge,
    UnexpectedInput,
    UnreadableBody,
    UnsupportedMediaType,
    WrongDtype,
    WrongShape,
)
from lossd.wire import ARROW, CODECS, Message, _arrow_envelope, reader_for
from lossd.wire._arrow_envelope import Frames, heads_of
from lossd.wire._flatbuffer import Flatbuffer

CODEC = CODECS[ARROW]
MOST = 10_000
LOGITS = np.arange(12, dtype=np.float32).reshape(4, 3)


def stream(*batches: Any, metadata: dict[str, str] | None = None, **options: Any) -> bytes:
    """An Arrow stream as pyarrow writes it."""
    schema = batches[0].schema.with_metadata(metadata)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(metadata))
    return sink.getvalue()


def lists(x: np.ndarray, kind: str = "fixed") -> Any:
    flat = pa.array(x.reshape(-1))
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, x.shape[1])
    offsets = np.arange(len(x) + 1) * x.shape[1]
    if kind == "list":
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)


def tensors(x: np.ndarray) -> Any:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(x)


def batch(**columns: Any) -> Any:
    return pa.record_batch(list(columns.values()), names=list(columns))


def read(body: bytes, most: int = MOST) -> Message:
    return CODEC.decode(body, most)


@pytest.mark.parametrize("kind", ["fixed", "list", "large", "tensor"])
def test_columns_of_lists_are_matrices(kind: str) -> None:
    column = tensors(LOGITS) if kind == "tensor" else lists(LOGITS, kind)
    got = read(stream(batch(logits=column, labels=pa.array([0, 1, 2, 0])))).tensors
    assert got["logits"].tolist() == LOGITS.tolist() and got["logits"].dtype == torch.float32
    assert got["labels"].tolist() == [0, 1, 2, 0] and got["labels"].dtype == torch.int64


@pytest.mark.parametrize("kind", ["nested", "tensor"])
def test_columns_of_tensors_keep_their_shape(kind: str) -> None:
    x = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 4)
    column = tensors(x) if kind == "tensor" else pa.FixedSizeListArray.from_arrays(flat, 3)
    assert read(stream(batch(x=column))).tensors["x"].tolist() == x.tolist()


def test_axes_that_are_stored_in_another_order_are_turned_back() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    turned = tensors(x.transpose(0, 2, 1).copy().transpose(0, 2, 1))
    assert turned.type.permutation == [1, 0]
    assert read(stream(batch(x=turned))).tensors["x"].tolist() == x.tolist()


@pytest.mark.parametrize("kind", ["fixed", "list"])
def test_batches_are_joined_whatever_slices_they_were(kind: str) -> None:
    whole = batch(x=lists(LOGITS, kind), flag=pa.array([True, False, True, True]))
    body = stream(whole.slice(1, 2), whole.slice(0, 0), whole.slice(3, 1))
    got = read(body).tensors
    assert got["x"].tolist() == LOGITS[1:].tolist() and got["flag"].tolist() == [False, True, True]


def test_whole_tensors_of_different_lengths_go_and_come() -> None:
    sent = {"w/a": torch.zeros(2, 3), "w/b": torch.ones(5), "w/c": torch.zeros(0, 4)}
    body = CODEC.encode(Message(sent, {"params": {"lambda": 2}}))
    got = read(body)
    assert pa.ipc.open_stream(body).schema.metadata[b"layout"] == b'"whole"'
    assert got.tensors.keys() == sent.keys() and got.fields == {"params": {"lambda": 2}}
    assert all(torch.equal(got.tensors[name], x) for name, x in sent.items())


def test_shared_tensors_stand_in_the_metadata_and_count() -> None:
    typed = {"dtype": "int8", "shape": [1], "data": [3]}
    shared = {"class_weights": [1, 2.5, "Infinity"], "typed": typed}
    metadata = {"inputs": json.dumps(shared), "params": '{"gamma": 1}', "pandas": "{}"}
    body = stream(batch(x=pa.array([1.0])), metadata=metadata)
    got = read(body)
    assert got.tensors["class_weights"].tolist() == [1, 2.5, float("inf")]
    assert got.tensors["typed"].dtype == torch.int8 and got.untyped == {"class_weights"}
    assert got.fields == {"params": {"gamma": 1}}
    assert read(body, 5).tensors["x"].numel() == 1
    with pytest.raises(TooLarge):
        read(body, 4)
    with pytest.raises(UnexpectedInput):
        read(stream(batch(x=pa.array([1.0])), metadata={"inputs": '{"x": [1]}'}))
    with pytest.raises(UnreadableBody):
        read(stream(batch(x=pa.array([1.0])), metadata={"inputs": '{}, "params": {}'}))


def test_numbers_without_dimensions_are_json_in_the_metadata() -> None:
    numbers = {"value": float("nan"), "sum": float("inf"), "low": -float("inf"), "count": 3}
    body = CODEC.encode(Message({name: torch.tensor(x) for name, x in numbers.items()}))
    assert read(body).fields == {
        "value": "NaN",
        "sum": "Infinity",
        "low": "-Infinity",
        "count": 3,
    }


def test_memory_is_not_copied() -> None:
    body = stream(batch(x=pa.array(np.arange(1000.0))))
    x, start = read(body).tensors["x"], np.frombuffer(body, np.uint8).ctypes.data
    assert start < x.data_ptr() < start + len(body)
    ahead = next(n for n in range(8) if (start + n) % 8 != start % 8)
    assert read((b"-" * ahead + body)[ahead:]).tensors["x"].tolist() == list(range(1000))


def test_one_row_is_whole_and_no_more() -> None:
    body = stream(batch(x=tensors(LOGITS)), metadata={"layout": "whole"})
    with pytest.raises(WrongShape) as caught:
        read(body)
    assert caught.value.at == "inputs.x"
    with pytest.raises(BadOption):
        read(stream(batch(x=pa.array([1.0])), metadata={"layout": "columns"}))


def test_ragged_lists_are_refused_at_the_first_bad_row() -> None:
    good, bad = pa.array([[1.0, 2.0]] * 3), pa.array([[1.0, 2.0], [1.0, 2.0], [1.0]])
    with pytest.raises(WrongShape) as caught:
        read(stream(batch(x=good), batch(x=bad)))
    assert (caught.value.at, caught.value.indices) == ("inputs.x", [[5]])
    with pytest.raises(WrongShape) as caught:
        read(stream(batch(x=good), batch(x=pa.array([[1.0]]))))
    assert caught.value.indices == [[3]]


@pytest.mark.parametrize(
    ("column", "indices"),
    [
        (pa.array([1.0, None, 2.0, None]), [[3], [5]]),
        (pa.array([True, None]), [[3]]),
        (pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)), [[3]]),
        (pa.array([[1.0, None], [None, 1.0]], pa.list_(pa.float64(), 2)), [[2, 1], [3, 0]]),
        (pa.array([[1.0], None]), [[3]]),
    ],
)
def test_nulls_are_refused_with_their_rows(column: Any, indices: list[list[int]]) -> None:
    first = pa.array([column[0].as_py()] * 2, column.type)
    if first.type == pa.list_(pa.float64(), 2):
        first = pa.array([[0.0, 0.0]] * 2, column.type)
    with pytest.raises(OutOfRange) as caught:
        read(stream(batch(x=first), batch(x=column)))
    assert (caught.value.at, caught.value.indices) == ("inputs.x", indices)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a"]),
        pa.array([b"a"]),
        pa.nulls(1),
        pa.array([1], pa.timestamp("us", "Europe/Rome")),
        pa.array([1], pa.decimal128(5)),
        pa.array([{"a": 1}]),
        pa.array([["a"]]),
    ],
    ids=lambda column: str(column.type),
)
def test_what_is_no_number_is_refused_by_its_column(column: Any) -> None:
    with pytest.raises((WrongDtype, OutOfRange)) as caught:
        read(stream(batch(good=pa.array([1.0]), bad=column)))
    assert caught.value.at == "inputs.bad"


def test_dictionaries_and_compressed_batches_are_refused() -> None:
    with pytest.raises(UnreadableBody, match="dictionaries"):
        read(stream(batch(x=pa.array(["a"]).dictionary_encode())))
    for compression in ("lz4", "zstd"):
        with pytest.raises(UnreadableBody, match="compressed") as caught:
            read(stream(batch(x=pa.array(np.zeros(1000))), compression=compression))
        assert "Content-Encoding" in (caught.value.expected or "")


def test_a_name_that_is_no_text_is_refused() -> None:
    body = stream(batch(**{"x": pa.array([1.0]), "struct_of": pa.array([{"member": 1}])}))
    for name in (b"struct_of", b"member"):
        with pytest.raises((UnreadableBody, WrongDtype)):
            read(body.replace(name, b"\x80" * len(name)))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(UnexpectedInput):
        read(stream(pa.record_batch([pa.array([1.0])] * 2, names=["x", "x"])))


def test_more_dimensions_than_the_limit_are_refused() -> None:
    column = pa.array([1.0])
    for _ in range(8):
        column = pa.FixedSizeListArray.from_arrays(column, 1)
    with pytest.raises(WrongShape):
        read(stream(batch(x=column)))


def metadata_of(body: bytes) -> list[tuple[int, bytes]]:
    """Where each message's metadata starts, and what it is."""
    found, at = [], 0
    while (length := struct.unpack_from("<i", body, at + 4)[0]) != 0:
        found.append((at + 8, body[at + 8 : at + 8 + length]))
        at += 8 + length + _arrow_envelope.read_head(found[-1][1]).body_bytes
    return found


def patched(body: bytes, at: int, number: int) -> bytes:
    return body[:at] + struct.pack("<q", number) + body[at + 8 :]


LYING = [-1, 5, 1 << 20, 1 << 40, (1 << 63) - 1, -(1 << 63)]


@pytest.mark.parametrize("number", LYING)
@pytest.mark.parametrize("true", [4, 12, 16, 48], ids=["rows", "elements", "bytes", "more bytes"])
def test_lengths_that_lie_are_refused(true: int, number: int) -> None:
    """Every number of the batch's metadata that could be a length, one after another."""
    body = stream(batch(logits=lists(LOGITS), labels=pa.array([0, 1, 2, 0], pa.int32())))
    start, metadata = metadata_of(body)[1]
    wanted = struct.pack("<q", true)
    places = [i for i in range(0, len(metadata) - 7, 4) if metadata[i : i + 8] == wanted]
    assert places
    for place in places:
        with pytest.raises(LossdError) as caught:
            read(patched(body, start + place, number))
        assert caught.value.status in (400, 413, 422)


def test_a_tensor_type_whose_shape_lies_is_refused() -> None:
    body = stream(batch(x=tensors(np.zeros((1, 2, 3)))))
    for lie in (b"[2,4]", b"[9,9]", b"[6,0]", b"[-2,]", b"[2]  ", b'"aa" ', b"[2.5]"):
        assert b"[2,3]" in body and len(lie) == 5
        with pytest.raises(LossdError):
            read(body.replace(b"[2,3]", lie))


def test_parts_of_a_schema_that_are_shared_cannot_multiply() -> None:
    """Children that point at one another, and one long text under many columns."""
    schema = pa.schema([(f"c{i}", pa.float32()) for i in range(300)])
    long = pa.schema([pa.field("x" * 100_000, pa.float32()), *schema])
    body = stream(pa.RecordBatch.from_arrays([pa.nulls(0, t) for t in long.types], schema=long))
    start, metadata = metadata_of(body)[0]
    root = Flatbuffer(metadata).root().table(2)
    assert root is not None
    place = root._pointed(1)  # the list of columns
    assert place is not None
    first = struct.unpack_from("<I", metadata, place + 4)[0] + place + 4
    shared = bytearray(metadata)
    for i in range(301):
        struct.pack_into("<I", shared, place + 4 + 4 * i, first - (place + 4 + 4 * i))
    with pytest.raises(UnreadableBody, match="longer than the metadata"):
        read(body[:start] + bytes(shared) + body[start + len(shared) :])


def test_nothing_after_the_end_and_nothing_missing_before_it() -> None:
    body = stream(batch(x=pa.array([1.0])))
    for bad in (body + b"\0", body[:-8], body[:-1], body[:40], b"", b"ARROW1\0\0" + body):
        with pytest.raises(UnreadableBody):
            read(bad)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_stream_of_many_kinds_that_is_damaged_is_refused_or_read(data: st.DataObject) -> None:
    columns = {
        "logits": lists(LOGITS),
        "ragged": lists(LOGITS, "list"),
        "flag": pa.array([True, False, True, True]),
        "cube": tensors(np.zeros((4, 2, 2), np.float16)),
    }
    body = bytearray(stream(batch(**columns), metadata={"params": "{}", "inputs": '{"w": [1]}'}))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read(bytes(body[: data.draw(st.integers(len(body) // 2, len(body)))]))
    except LossdError as err:
        assert 400 <= err.status < 500


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=50))
def test_chunks_of_any_size_hold_the_same_messages(sizes: list[int]) -> None:
    body = stream(batch(x=pa.array(np.arange(50.0))), batch(x=pa.array(np.arange(9.0))))
    frames, found, at = Frames(1 << 20, "SETTING"), [], 0
    for size in [*sizes, len(body)]:
        found += list(frames.feed(body[at : at + size]))
        at += size
    assert frames.ended and frames.held_bytes == 0
    assert [frame.head for frame in found] == list(heads_of(body))
    assert b"".join(frame.data for frame in found) == body[:-8]


def test_a_message_over_the_limit_is_refused_before_its_body() -> None:
    body = stream(batch(x=pa.array(np.zeros(1000))))
    frames = Frames(4000, "SETTING")
    with pytest.raises(TooLarge, match="batch") as caught:
        list(frames.feed(body[:-8000]))
    assert "SETTING" in (caught.value.expected or "")


def test_without_pyarrow_the_answer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossd.wire._BY_NAME", {})
    with pytest.raises(UnsupportedMediaType) as caught:
        reader_for(ARROW)
    assert caught.value.expected == "install lossd[arrow]"
