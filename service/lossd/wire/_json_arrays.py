"""Nested JSON lists to tensors, without a Python object per number.

The brackets and commas alone, compared with those that a rectangular array would have, prove the
shape; then the numbers are read as one flat list. Only what fails is read again, slowly, to say
where. The text is known to be valid JSON here.
"""

import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossd.errors import OutOfRange, WrongDtype, WrongShape
from lossd.wire._checks import MAX_DIMS, too_many

try:
    import simdjson
except ModuleNotFoundError:  # no wheels for the newest Pythons; the slow path reads everything
    simdjson = None  # type: ignore[assignment] # tested for before use

PIECE_BYTES = 1 << 20  # parsing holds the interpreter lock, so it is done in pieces of about 2 ms
NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))
_BRACKETS_TO_SPACES = bytes.maketrans(b"[]", b"  ")


def read_array(text: bytes, *, at: str, most: int) -> Tensor:
    """Read nested lists of numbers as int64 if every number is an integer, else float64.

    Raises `TooLarge` over `most` elements; `WrongShape` if ragged; `WrongDtype` for anything that
    is not a number or one of the strings "NaN", "Infinity", "-Infinity"; `OutOfRange` for a number
    beyond float64.
    """
    if text.count(b",") >= most:
        raise too_many(most, at)
    shape = None if b'"' in text else _rectangular(text)
    if shape is not None and simdjson is not None:
        flat = _flat_numbers(text, math.prod(shape))
        if flat is not None:
            return torch.from_numpy(flat).reshape(shape)
    return _read_slowly(text, at)


def _rectangular(text: bytes) -> tuple[int, ...] | None:
    """The shape that the brackets and commas prove, or None if they prove none."""
    tokens = text.translate(None, delete=_NOT_STRUCTURE)
    depth = len(tokens) - len(tokens.lstrip(b"["))
    if not 1 <= depth <= MAX_DIMS:
        return None
    sizes: list[int] = []
    block = b""
    for level in range(depth - 1, -1, -1):
        closing = b"]" * (depth - level)
        block_length = tokens.find(closing) + len(closing) - level
        size, rest = divmod(block_length - 1, len(block) + 1)
        if rest or size < 1:
            return None
        block = (
            b"[" + b",".join([block] * size) + b"]" if block else b"[" + b"," * (size - 1) + b"]"
        )
        sizes.append(size)
    if block != tokens:
        return None
    if text.translate(None, delete=b"[], \t\r\n") == b"":
        return None  # empty lists have the brackets of lists of one
    return tuple(reversed(sizes))


def _flat_numbers(text: bytes, count: int) -> np.ndarray[Any, Any] | None:
    """All numbers in order, or None if something among them is not one, or too big for one."""
    pieces: list[np.ndarray[Any, Any]] = []
    parser = simdjson.Parser()
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > PIECE_BYTES:
            cut = text.rfind(b",", start, start + PIECE_BYTES)
            end = cut if cut > start else end
        flat = b"[" + text[start:end].translate(_BRACKETS_TO_SPACES) + b"]"
        try:
            pieces.append(_numbers(parser.parse(flat)))
        except (ValueError, TypeError, RuntimeError):
            return None
        start = end + 1
    dtype = np.int64 if all(piece.dtype == np.int64 for piece in pieces) else np.float64
    numbers = np.concatenate(pieces, dtype=dtype, casting="unsafe")
    return numbers if len(numbers) == count else None


def _numbers(array: Any) -> np.ndarray[Any, Any]:
    try:
        return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
    except (ValueError, TypeError):  # 1.0 is no integer, and neither is what int64 cannot hold
        return np.frombuffer(array.as_buffer(of_type="d"), np.float64)


def _read_slowly(text: bytes, at: str) -> Tensor:
    try:
        value = json.loads(text)
    except ValueError as err:  # an integer of more digits than Python converts
        raise OutOfRange("a number has too many digits", at=at) from err
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > MAX_DIMS:
            raise WrongShape(
                "nested too deeply", at=at, expected=f"at most {MAX_DIMS} dimensions", got="more"
            )
        first = first[0] if first else None
    leaves: list[int | float] = []
    _collect(value, shape, 0, at, leaves)
    if leaves and all(type(leaf) is int and -(2**63) <= leaf < 2**63 for leaf in leaves):
        return torch.tensor(leaves, dtype=torch.int64).reshape(shape)
    return torch.tensor([float(leaf) for leaf in leaves], dtype=torch.float64).reshape(shape)


def _collect(value: Any, shape: list[int], level: int, at: str, leaves: list[int | float]) -> None:
    """Append the numbers of a list of the rest of a shape. Raises at the first fault."""
    if level == len(shape):
        leaves.append(_leaf(value, at))
        return
    if not isinstance(value, list) or len(value) != shape[level]:
        raise WrongShape(
            "the array is ragged",
            at=at,
            expected=f"a list of {shape[level]} as at the first index",
            got=f"a list of {len(value)}" if isinstance(value, list) else _kind(value),
        )
    for i, each in enumerate(value):
        _collect(each, shape, level + 1, f"{at}[{i}]", leaves)


def _leaf(value: Any, at: str) -> int | float:
    if isinstance(value, str) and value in NONFINITE:
        return NONFINITE[value]
    if isinstance(value, list):
        raise WrongShape("the array is ragged", at=at, expected="a number", got="a list")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongDtype("not a number", at=at, expected="a number", got=_kind(value))
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise OutOfRange("the number is beyond float64", at=at, expected="|x| < 1.8e308")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        return f"the string {value[:50]!r}"
    if isinstance(value, int | float):
        return "a number"
    return "an object" if isinstance(value, dict) else "a list"
