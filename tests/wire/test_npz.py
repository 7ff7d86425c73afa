"""NPZ from numpy itself, and from callers who mean harm."""

import io
import zipfile

import numpy as np
import pytest
import torch

from lossd.errors import LossdError, TooLarge, UnreadableBody, WrongDtype, WrongShape
from lossd.wire import CODECS, Message

NPZ = CODECS["application/x-npz"]


def saved(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24, dtype=">i4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(24, dtype=">f8").reshape(2, 3, 4)),
        np.float32(3.0),
        np.zeros((0, 3), dtype=np.float16),
    ],
    ids=str,
)
def test_what_numpy_saves_is_read(array: np.ndarray, compressed: bool) -> None:
    got = NPZ.decode(saved(compressed, x=array), 1000).tensors["x"]
    assert (
        np.array_equal(got.numpy(), array)
        and got.dtype
        == torch.from_numpy(
            np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("="))
        ).dtype
    )


def test_numpy_reads_what_is_written() -> None:
    body = NPZ.encode(Message({"gradients.weights/a": torch.ones(2)}, {"params": {"gamma": 2.0}}))
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        assert archive["gradients.weights/a"].tolist() == [1, 1]
        assert str(archive["params"]) == '{"gamma": 2.0}'


HEADER = b"\x93NUMPY\x01\x00\x76\x00"


def member(text: bytes, data: bytes = b"") -> bytes:
    return HEADER + text.ljust(0x75) + b"\n" + data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"PK", UnreadableBody),
        (saved(x=np.zeros(3))[:-30], UnreadableBody),
        (zipped(x=b"not numpy"), UnreadableBody),
        (zipped(x=member(b"{'descr': '<f4', 'shape': (2,), 'fortran_order': False}", b"1234")),
         UnreadableBody),
        (zipped(x=member(b"{'descr': '<f4', 'shape': (1,), 'fortran_order': False}", b"12345")),
         UnreadableBody),
        (zipped(x=member(b"{'descr': '|O', 'shape': (1,), 'fortran_order': False}", b"12345678")),
         WrongDtype),
        (zipped(x=member(b"{'descr': '<c8', 'shape': (1,), 'fortran_order': False}", b"12345678")),
         WrongDtype),
        (zipped(x=member(b"{'descr': '<f4', 'shape': (-1,), 'fortran_order': False}")), LossdError),
        (zipped(x=member(b"__import__('os')")), UnreadableBody),
        (saved(x=np.zeros([1] * 9)), WrongShape),
        (saved(params=np.array(["a", "b"])), WrongShape),
        (saved(x=np.zeros(1001)), TooLarge),
        (saved(True, x=np.zeros(10_000_000, dtype=np.int8)), TooLarge),
        (zipped(x=member(b"{'descr': '<f4', 'shape': (99999999999,), 'fortran_order': False}")),
         TooLarge),
    ],
)  # fmt: skip
def test_what_lies_is_refused(body: bytes, error: type[LossdError]) -> None:
    with pytest.raises(error) as caught:
        NPZ.decode(body, 1000)
    assert 400 <= caught.value.status < 500
