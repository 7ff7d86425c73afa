"""JSON text to tensors: shapes proved, faults named."""

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import LossdError, OutOfRange, UnreadableBody, WrongDtype, WrongShape
from lossd.wire import CODECS, Message, _json_arrays
from lossd.wire import json as json_codec
from lossd.wire._json_arrays import PIECE_BYTES, read_array
from lossd.wire._json_scan import numbers

JSON = CODECS["application/json"]
MOST = 10_000_000


def read(text: str) -> torch.Tensor:
    return read_array(text.encode(), at="x", most=MOST)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("[]", (0,)),
        ("[[]]", (1, 0)),
        ("[[],[]]", (2, 0)),
        ("[ 1 , 2 ]", (2,)),
        ("[[1],[2]]", (2, 1)),
        ("[[[1,2],[3,4]],[[5,6],[7,8]]]", (2, 2, 2)),
        ("3", ()),
    ],
)
def test_the_shape_is_that_of_the_lists(text: str, shape: tuple[int, ...]) -> None:
    got = read(text)
    assert tuple(got.shape) == shape
    assert got.flatten().tolist() == torch.tensor(json.loads(text)).flatten().tolist()


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("[1, 2]", torch.int64),
        ("[1, 2.0]", torch.float64),
        ("[1e2]", torch.float64),
        ("[9223372036854775807]", torch.int64),
        ("[9223372036854775808]", torch.float64),
        ("[100000000000000000000]", torch.float64),
        ('["NaN", 1]', torch.float64),
    ],
)
def test_integers_stay_integers_and_nothing_else_becomes_one(text: str, dtype: torch.dtype) -> None:
    assert read(text).dtype == dtype


@pytest.mark.parametrize(
    ("text", "error", "at"),
    [
        ("[[1,2],[3]]", WrongShape, "x[1]"),
        ("[[1,2],3]", WrongShape, "x[1]"),
        ("[1,[2]]", WrongShape, "x[1]"),
        ("[[1],[]]", WrongShape, "x[1]"),
        ("[[],[1]]", WrongShape, "x[1]"),
        ("[[[1],[2]],[[3]]]", WrongShape, "x[1]"),
        ("[[[1],[2]],[[3],[4,5]]]", WrongShape, "x[1][1]"),
        ("[[1],[[2]]]", WrongShape, "x[1][0]"),
        ("[1,true]", WrongDtype, "x[1]"),
        ("[1,null]", WrongDtype, "x[1]"),
        ('[1,"2"]', WrongDtype, "x[1]"),
        ('[1,"nan"]', WrongDtype, "x[1]"),
        ('[[1,"]"],[1,2]]', WrongDtype, "x[0][1]"),
        ("[1,{}]", WrongDtype, "x[1]"),
        ('"abc"', WrongDtype, "x"),
        ("[1,1e400]", OutOfRange, "x[1]"),
        ("[1," + "9" * 400 + "]", OutOfRange, "x[1]"),
        ("[" * 20 + "]" * 20, WrongShape, "x"),
    ],
)
def test_the_first_fault_is_named(text: str, error: type[LossdError], at: str) -> None:
    with pytest.raises(error) as caught:
        read(text)
    assert caught.value.at == at


def nested(shape: list[int]) -> st.SearchStrategy[Any]:
    strategy: st.SearchStrategy[Any] = st.floats(width=64, allow_nan=True) | st.integers(
        -(2**63), 2**63 - 1
    )
    for size in reversed(shape):
        strategy = st.lists(strategy, min_size=size, max_size=size)
    return strategy


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_reading_agrees_with_the_standard_library(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    value = data.draw(nested(shape))
    text = re.sub(r"NaN|-?Infinity", r'"\g<0>"', json.dumps(value))
    got = read(text)
    want = torch.tensor(value, dtype=got.dtype)
    assert torch.equal(got.nan_to_num(7.0), want.nan_to_num(7.0)) and got.shape == want.shape


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, max_size=3), max_leaves=12))
def test_an_array_is_accepted_exactly_if_it_is_rectangular(value: Any) -> None:
    try:
        want: torch.Tensor | None = torch.tensor(value)
    except (ValueError, TypeError):
        want = None
    try:
        got: torch.Tensor | None = read(json.dumps(value))
    except WrongShape:
        got = None
    if want is None or want.ndim > 8:
        assert got is None
    elif want.numel():
        assert got is not None and torch.equal(got, want)


def test_a_large_array_is_read_in_pieces_and_whole() -> None:
    want = torch.randn(4000, 50, dtype=torch.float64)
    text = json.dumps(want.tolist())
    assert len(text) > 3 * PIECE_BYTES
    assert torch.equal(read(text), want)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"inputs": []}',
        b'{"inputs": {"x": [1, 2}}',
        b'{"inputs": {"x": [1, 2,]}}',
        b'{"inputs": {"x": [1 2]}}',
        b'{"inputs": {"x": [01]}}',
        b'{"inputs": {"x": [NaN]}}',
        b'{"inputs": {"x": [1]}} trailing',
        b"\xff\xfe\x00",
        b'{"inputs": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"params": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs": {"x": {"dtype": "float32", "shape": [1], "data": "!!"}}}',
        b'{"inputs": {"x": {"dtype": "float32", "shape": [1], "data": "AAA="}}}',
        b'{"inputs": {"x": {"dtype": "float32", "shape": [99999999999999], "data": "AAAAAA=="}}}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_a_request_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody) as caught:
        JSON.decode(body, MOST)
    assert caught.value.at


@pytest.mark.parametrize(
    ("tensor", "error", "at"),
    [
        ({"dtype": "float31", "shape": [1], "data": [1]}, WrongDtype, "inputs.x.dtype"),
        ({"dtype": "float32", "shape": [-1], "data": [1]}, WrongShape, "inputs.x.shape"),
        ({"dtype": "float32", "shape": [True], "data": [1]}, WrongShape, "inputs.x.shape"),
        ({"dtype": "float32", "shape": 1, "data": [1]}, WrongShape, "inputs.x.shape"),
        ({"dtype": "float32", "shape": [2], "data": [1]}, WrongShape, "inputs.x.data"),
        ({"dtype": "int64", "shape": [1], "data": [1.0]}, WrongDtype, "inputs.x.data"),
        ({"dtype": "int8", "shape": [1], "data": [300]}, WrongDtype, "inputs.x.data"),
        ({"dtype": "float32", "shape": [1], "data": [1], "more": 1}, WrongDtype, "inputs.x"),
    ],
)
def test_a_tensor_that_lies_about_itself_is_refused(
    tensor: dict[str, Any], error: type[LossdError], at: str
) -> None:
    with pytest.raises(error) as caught:
        JSON.decode(json.dumps({"inputs": {"x": tensor}}).encode(), MOST)
    assert caught.value.at == at


def test_base64_and_lists_give_the_same_tensor() -> None:
    listed = {"dtype": "float32", "shape": [2, 1], "data": [1.5, -2.0]}
    packed = {"dtype": "float32", "shape": [2, 1], "data": "AADAPwAAAMA="}
    body = json.dumps({"inputs": {"a": listed, "b": packed}}).encode()
    got = JSON.decode(body, MOST).tensors
    assert torch.equal(got["a"], got["b"])


def test_a_group_is_read_and_written_with_the_names_it_came_with() -> None:
    body = b'{"inputs": {"weights": {"layer1.weight": [1.0], "fc": [[2.0]]}}}'
    got = JSON.decode(body, MOST)
    assert list(got.tensors) == ["weights/layer1.weight", "weights/fc"]
    back = {f"gradients.{name}": x for name, x in got.tensors.items()}
    text = json.loads(JSON.encode(Message(back)))
    assert text == {"gradients": {"weights": {"layer1.weight": [1.0], "fc": [[2.0]]}}}


def test_a_tensor_and_a_member_of_a_group_of_one_name_are_refused() -> None:
    body = b'{"inputs": {"w/a": [1.0], "w": {"a": [2.0]}}}'
    with pytest.raises(UnreadableBody, match="two tensors of one name") as caught:
        JSON.decode(body, MOST)
    assert caught.value.at == "inputs.w.a"


def test_answers_are_strict_json_even_when_numbers_are_not_finite() -> None:
    x = torch.tensor([[math.nan, math.inf], [-math.inf, 0.1]])
    text = JSON.encode(Message({"rows": x, "sum": torch.tensor(math.inf)}))
    assert text == b'{"rows":[["NaN","Infinity"],["-Infinity",0.1]],"sum":"Infinity"}'


def test_float32_is_written_in_its_shortest_digits() -> None:
    assert (
        JSON.encode(Message({"rows": torch.tensor([0.1, 1 / 3])})) == b'{"rows":[0.1,0.33333334]}'
    )


@pytest.mark.parametrize("text", ["[[1, 2], [3, 4]]", "[1.5, 2]", "[]", "[[[0.1]]]"])
def test_the_slow_path_reads_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read(text)
    monkeypatch.setattr(_json_arrays, "simdjson", None)
    slow = read(text)
    assert torch.equal(fast, slow) and fast.dtype == slow.dtype


@pytest.mark.parametrize(
    ("change", "error", "at"),
    [
        (("1.5", '"NaN"'), None, ""),
        (("1.5", "123456789012345678901234567890"), None, ""),
        (("1.5", "true"), WrongDtype, "x[3999][49]"),
        (("1.5", '"a"'), WrongShape, "x"),
        (("1.5", "1e999"), OutOfRange, "x[3999][49]"),
        (("1.5", "1.5, 2"), WrongShape, "x"),
    ],
)
def test_a_fault_at_the_end_of_a_large_array_is_found_without_reading_it_slowly(
    change: tuple[str, str], error: type[LossdError] | None, at: str
) -> None:
    rows = [[0.123456789012345678] * 50] * 4000
    rows[-1] = [*rows[0][:-1], 1.5]
    text = json.dumps(rows).replace(*change) + " " * _json_arrays.EXPLAINED_BYTES
    if error is None:
        got = read(text)
        assert got.shape == (4000, 50) and (got[-1, -1].isnan() or got[-1, -1] > 1e29)
        return
    with pytest.raises(error) as caught:
        read(text)
    assert caught.value.at == at


def scanned(text: str) -> Any:
    return numbers(np.frombuffer(text.encode(), np.uint8), 10**6)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_scan_reads_what_it_reads_to_the_last_bit(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    text = re.sub(r"NaN|-?Infinity", r'"\g<0>"', json.dumps(data.draw(nested(shape))))
    got = scanned(text)
    if got is not None:
        want = read(text).numpy()
        assert got.dtype == want.dtype and np.array_equal(got, want)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1,2]", [1, 2]),
        (" [ [1 , 2.5e3],\n[-0.5,4] ] ", [[1, 2500], [-0.5, 4]]),
        ("[[1],[2]]", [[1], [2]]),
        ("[0.1, 1e22, 123456789.123456e-3]", [0.1, 1e22, 123456789.123456e-3]),
    ],
)
def test_the_scan_reads_rectangular_numbers(text: str, value: Any) -> None:
    got = scanned(text)
    assert got is not None and got.tolist() == value


@pytest.mark.parametrize(
    "text",
    ["", "3", "[]", "[[],[]]", "[1,]", "[,1]", "[1", "[1]]", "[1] 2", "[01]", "[1.]", "[.5]", "[-]",
     "[+1]", "[1e]", "[1 2]", "[[1,2],[3]]", "[[1],2]", "[1,[2]]", "[true]", "[null]", '["1"]',
     "[0.12345678901234567]", "[1e23]", "[9007199254740993]", "[" * 9 + "1" + "]" * 9],
)  # fmt: skip
def test_the_scan_leaves_all_that_is_unusual(text: str) -> None:
    assert scanned(text) is None


def test_a_large_body_is_read_alike_with_and_without_the_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = {
        "inputs": {"x": np.arange(40_000).reshape(400, 100).tolist(), "y": {"a": [0.5] * 30_000}},
        "params": {"gamma": 2.0},
        "wrt": ["x"],
    }
    text = json.dumps(body).encode()
    got = JSON.decode(memoryview(bytearray(text)), 10**6)
    monkeypatch.setattr(json_codec, "scan", None)
    want = JSON.decode(text, 10**6)
    assert got.fields == want.fields and got.untyped == want.untyped
    assert got.tensors.keys() == want.tensors.keys()
    assert all(torch.equal(got.tensors[key], x) for key, x in want.tensors.items())
