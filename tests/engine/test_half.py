"""Half precision in kernels: every bit pattern, and everything between two of them."""

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lossd.engine.kernels import FINE, OVERFLOW
from lossd.engine.kernels._arrays import as_array, dtype_of_array
from lossd.engine.kernels._half import read, words_of, write

HALVES = (torch.float16, torch.bfloat16)
EVERY_PATTERN = np.arange(1 << 16, dtype=np.uint16)


@numba.njit
def read_all(words, code, first, scratch):
    read(words, code, first, scratch.size, scratch)
    return scratch


@numba.njit
def write_all(x, words, code, first):
    return write(x, words, code, first)


def written(x: NDArray[np.float32], dtype: torch.dtype) -> tuple[torch.Tensor, int]:
    out = torch.zeros(x.size + 7, dtype=dtype)
    words, code = words_of(as_array(out))
    found = write_all(x, words, code, 3)
    assert not out[:3].any() and not out[3 + x.size :].any()
    return out[3 : 3 + x.size], found


def same_bits(got: torch.Tensor, want: torch.Tensor) -> bool:
    """NaNs may differ in what no arithmetic looks at."""
    bits = {2: torch.int16, 4: torch.int32}[want.dtype.itemsize]
    nan = want.isnan()
    return torch.equal(got.isnan(), nan) and torch.equal(
        got[~nan].view(bits), want[~nan].view(bits)
    )


def between(dtype: torch.dtype) -> NDArray[np.float32]:
    """Every number of half precision, halfway to the next, and the float32 around these."""
    halves = torch.from_numpy(EVERY_PATTERN).view(dtype).double()
    halves = halves[halves.isfinite()].sort().values
    middles = (halves[:-1] + halves[1:]) / 2
    exact = torch.cat([halves, middles]).float().numpy()
    up, down = np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))
    return np.concatenate([exact, up, down])


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_every_bit_pattern_is_read_as_torch_reads_it(dtype):
    x = torch.from_numpy(EVERY_PATTERN).view(dtype)
    got = read_all(*words_of(as_array(x)), 0, np.empty(x.numel(), np.float32))
    assert same_bits(torch.from_numpy(got), x.float())


def test_every_bit_pattern_of_float16_is_read_as_numpy_reads_it():
    x = torch.from_numpy(EVERY_PATTERN).view(torch.float16)
    got = read_all(*words_of(as_array(x)), 0, np.empty(x.numel(), np.float32))
    np.testing.assert_array_equal(got, EVERY_PATTERN.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_every_bit_pattern_comes_back_from_float32(dtype):
    x = torch.from_numpy(EVERY_PATTERN).view(dtype)
    got, _ = written(x.float().numpy(), dtype)
    assert same_bits(got, x)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_what_lies_between_two_numbers_is_rounded_to_the_nearest_and_ties_to_even(dtype):
    x = between(dtype)
    assert same_bits(written(x, dtype)[0], torch.from_numpy(x).to(dtype))


def test_float16_is_rounded_as_numpy_rounds_it():
    x = between(torch.float16)
    with np.errstate(over="ignore"):
        want = torch.from_numpy(x.astype(np.float16))
    assert same_bits(written(x, torch.float16)[0], want)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_any_float32_is_rounded_as_torch_rounds_it(dtype):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
    x = bits.view(np.float32)
    assert same_bits(written(x, dtype)[0], torch.from_numpy(x).to(dtype))


@pytest.mark.parametrize(
    ("dtype", "first_too_large"),
    [(torch.float16, 0x477FF000), (torch.bfloat16, 0x7F7F8000)],
    ids=str,
)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1, 15, 64, 1000])
def test_an_overflow_is_reported(dtype, first_too_large, sign, size):
    fits, does_not = np.array([first_too_large - 1, first_too_large], np.uint32).view(np.float32)
    x = np.full(size, sign * fits, np.float32)
    got, found = written(x, dtype)
    assert found == FINE and got.isfinite().all()
    x[-1] = sign * does_not
    got, found = written(x, dtype)
    assert found == OVERFLOW and got[-1] == sign * torch.inf and got[:-1].isfinite().all()


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
def test_words_are_those_of_the_array(dtype):
    x = torch.ones(3, 4, dtype=dtype)
    array = as_array(x)
    words, _ = words_of(array)
    assert array.dtype == dtype_of_array(dtype)
    assert np.shares_memory(words, array) and words.nbytes == x.nbytes
