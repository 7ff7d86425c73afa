"""What every format must do. The list of codecs is the parameter."""

import base64
import json

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import LossdError, NotAcceptable, TooLarge, WrongShape
from lossd.wire import CODECS, DTYPES, Codec, Message
from lossd.wire._checks import MAX_TENSORS

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
CARRIED = [(codec, name) for codec in CODECS.values() for name in codec.dtypes]
MISSING = [(c, name) for c in CODECS.values() for name in DTYPES if name not in c.dtypes]
MOST = 10_000
SAFETENSORS = CODECS["application/vnd.safetensors"]
JSON = CODECS["application/json"]


def request_of(codec: Codec, name: str, x: torch.Tensor) -> bytes:
    """A request that holds one tensor, in the form that states its dtype."""
    if codec is not JSON:
        return codec.encode(Message({name: x}))
    data = json.loads(JSON.encode(Message({"x": x})))["x"]
    if x.dtype == torch.bool:  # true and false are no numbers
        data = base64.b64encode(x.numpy().tobytes()).decode()
    tensor = {"dtype": str(x.dtype)[6:], "shape": list(x.shape), "data": data}
    return json.dumps({"inputs": {name: tensor}}).encode()


@pytest.mark.parametrize(("codec", "name"), CARRIED)
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 0), (1, 2, 2)], ids=str)
def test_every_dtype_survives(codec: Codec, name: str, shape: tuple[int, ...]) -> None:
    dtype = DTYPES[name]
    sent = (torch.arange(int(np.prod(shape))) % 2).reshape(shape).to(dtype)
    got = codec.decode(request_of(codec, "x", sent), MOST).tensors["x"]
    assert got.dtype == dtype
    assert torch.equal(got.double(), sent.double())


@pytest.mark.parametrize(("codec", "name"), MISSING)
def test_what_a_format_cannot_carry_is_a_4xx(codec: Codec, name: str) -> None:
    with pytest.raises(NotAcceptable):
        codec.encode(Message({"rows": torch.zeros(1, dtype=DTYPES[name])}))


@every_codec
@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=5)))
def test_every_float32_comes_back_bit_for_bit(codec: Codec, array: np.ndarray) -> None:
    sent = torch.from_numpy(array.copy())
    got = codec.decode(request_of(codec, "x", sent), MOST).tensors["x"]
    nan = sent.isnan()
    assert torch.equal(got.isnan(), nan)
    assert torch.equal(got[~nan], sent[~nan])
    assert torch.equal(got[~nan].signbit(), sent[~nan].signbit())


@every_codec
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_worse(codec: Codec, body: bytes) -> None:
    try:
        codec.decode(body, MOST)
    except LossdError as err:
        assert 400 <= err.status < 500


@every_codec
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_request_is_refused_or_read(codec: Codec, data: st.DataObject) -> None:
    body = bytearray(request_of(codec, "logits", torch.arange(12.0).reshape(3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec.decode(bytes(body[: data.draw(st.integers(0, len(body)))]), MOST)
    except LossdError as err:
        assert 400 <= err.status < 500


@every_codec
def test_more_elements_than_the_limit_are_refused(codec: Codec) -> None:
    body = request_of(codec, "x", torch.zeros(101))
    with pytest.raises(TooLarge):
        codec.decode(body, 100)
    assert codec.decode(body, 101).tensors["x"].numel() == 101


@pytest.mark.parametrize("codec", [c for c in CODECS.values() if c is not JSON])
@settings(max_examples=200, deadline=None)
@given(
    value=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    name=st.sampled_from(["params", "wrt"]),
)
def test_fields_beside_tensors_survive(codec: Codec, value: dict[str, object], name: str) -> None:
    body = codec.encode(Message({"x": torch.zeros(1)}, {name: value}))
    got = codec.decode(body, MOST).fields[name]
    assert json.dumps(got) == json.dumps(value) or isinstance(got, str)


@every_codec
def test_more_tensors_than_the_limit_are_refused(codec: Codec) -> None:
    tensors = {f"w/{i}": torch.zeros(0) for i in range(MAX_TENSORS + 1)}
    if codec is JSON:
        group = {name.removeprefix("w/"): [] for name in tensors}
        body = json.dumps({"inputs": {"w": group}}).encode()
    else:
        body = codec.encode(Message(tensors))
    with pytest.raises(TooLarge):
        codec.decode(body, MOST)


def test_base64_counts_against_the_limit_of_elements() -> None:
    with pytest.raises(TooLarge):
        JSON.decode(request_of(JSON, "x", torch.zeros(101, dtype=torch.bool)), 100)


def test_a_shape_of_too_many_dimensions_is_refused() -> None:
    with pytest.raises(WrongShape):
        SAFETENSORS.decode(SAFETENSORS.encode(Message({"x": torch.zeros([1] * 9)})), MOST)
