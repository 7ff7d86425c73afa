"""The quick reader of small requests: it reads what the careful one reads, or leaves it alone."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import LossdError
from lossd.wire import Message
from lossd.wire import json as codec
from lossd.wire._json_small import read_small

MOST = 1000
numbers = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0.0, -0.0, 1.0, 1e400, 2**63, 2**64]),
)
leaves = numbers | st.booleans() | st.none() | st.text('a[]{},:"\\é', max_size=3)
names = st.sampled_from(["inputs", "params", "logits", "labels", "row_weights", "a,b", 'q"', "é"])


def rectangular(number: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    rows = st.lists(number, min_size=1, max_size=4)
    return rows | st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(number, min_size=n, max_size=n), min_size=1, max_size=3)
    )


values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
plain = st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
requests = st.fixed_dictionaries(
    {"inputs": st.dictionaries(names, rectangular(plain) | values, max_size=3)},
    optional={"params": values, "outputs": values, "row_weights": values},
)


def carefully(body: bytes, monkeypatch: pytest.MonkeyPatch) -> Message | LossdError:
    with monkeypatch.context() as without:
        without.setattr(codec, "read_small", lambda *_: None)
        try:
            return codec.decode(body, MOST)
        except LossdError as err:
            return err


def assert_same(body: bytes, quick: Message, careful: Message | LossdError) -> None:
    assert isinstance(careful, Message), body
    assert list(quick.tensors) == list(careful.tensors)
    assert repr(quick.fields) == repr(careful.fields)
    assert quick.untyped == careful.untyped
    for name, x in quick.tensors.items():
        other = careful.tensors[name]
        assert x.dtype == other.dtype and torch.equal(x, other)
        assert torch.equal(x.signbit(), other.signbit())


@settings(max_examples=1000, deadline=None)
@given(requests | values, st.sampled_from([None, 1]), st.booleans())
def test_it_reads_what_the_careful_one_reads(value: Any, indent: int | None, damaged: bool) -> None:
    body = json.dumps(value, indent=indent).encode()
    if damaged:
        body = body.replace(b",", b"", 1).replace(b'"', b"", 1)
    quick = read_small(body, MOST)
    if quick is not None:
        with pytest.MonkeyPatch.context() as patch:
            assert_same(body, quick.message(), carefully(body, patch))


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":{"a":[1,2],"b":[[1.5,2]]},"params":{"x":null,"y":{"z":[1,"a"]}}}',
        b' { "inputs" : {"a" : [ 0.5 , 1e3 ] } } ',
        b'{"x":"[,]","inputs":{"a":[0.5]},"y":"}{"}',
        b'{"inputs":{"a":[[[1,2.5],[3,4]]]}}',
    ],
)
def test_plain_requests_take_the_quick_way(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read_small(body, MOST)
    assert quick is not None
    assert_same(body, quick.message(), carefully(body, monkeypatch))


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":{"a":[1.5],"a":[2.5]}}',
        b'{"inputs":{"a":[0.5]},"inputs":{"a":[1.5]}}',
        b'{"inputs":{"a":[[],[1]]}}',
        b'{"inputs":{"a":[1.5,true]}}',
        b'{"inputs":{"a":[1.5,"NaN"]}}',
        b'{"inputs":{"a":[0.5]}}x',
        b'{"inputs":{"a":[0.5]},"row_weights":[1.0]}',
        b'{"inputs":{"a":[[1,2],[3]]}}',
        b"[]",
        b"",
    ],
)
def test_what_is_unusual_is_left_to_the_careful_one(body: bytes) -> None:
    assert read_small(body, MOST) is None


def test_too_many_numbers_are_left_to_the_careful_one() -> None:
    assert read_small(json.dumps({"inputs": {"a": [0.5] * 1001}}).encode(), MOST) is None
