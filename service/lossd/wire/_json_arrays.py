"""Nested JSON lists to tensors, without a Python object per number.

The brackets and commas alone, compared with those that a rectangular array would have, prove the
shape; then the numbers are read as one flat list, in pieces, so that no body holds the interpreter
lock for long. Only a piece that fails is read again, slowly, to say where. The text is known to be
valid JSON here.
"""

import json
import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossd.errors import LossdError, OutOfRange, WrongDtype, WrongShape
from lossd.wire._checks import MAX_DIMS, too_many

try:
    import simdjson
except ModuleNotFoundError:  # no wheels for the newest Pythons; the slow path reads everything
    simdjson = None  # type: ignore[assignment] # tested for before use

SMALL_BYTES = 1 << 15  # read at once, and before anything else is tried
PIECE_BYTES = 1 << 20  # about 2 ms of parsing
EXPLAINED_BYTES = 4 << 20  # a larger array that is ragged is refused without the exact place
NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))
_BRACKETS_TO_SPACES = bytes.maketrans(b"[]", b"  ")
Numbers = np.ndarray[Any, Any]


def read_array(text: bytes, *, at: str, most: int) -> Tensor:
    """Read nested lists of numbers as int64 if every number is an integer, else float64.

    Raises `TooLarge` over `most` elements; `WrongShape` if ragged; `WrongDtype` for anything that
    is not a number or one of the strings "NaN", "Infinity", "-Infinity"; `OutOfRange` for a number
    beyond float64.
    """
    if text.count(b",") >= most:
        raise too_many(most, at)
    if len(text) <= SMALL_BYTES:
        small = _read_small(text)
        if small is not None:
            return small
    shape = _rectangular(text) if _has_only_legal_strings(text) else None
    if shape is not None:
        flat = _flat_numbers(text, shape, at)
        if len(flat) == math.prod(shape):
            return torch.from_numpy(flat).reshape(shape)
    if len(text) <= EXPLAINED_BYTES:
        return _read_slowly(text, at)
    raise WrongShape(
        "not a rectangular array of numbers",
        at=at,
        expected="numbers, in lists of equal length",
        got="too much of it to say where it is not",
    )


def _read_small(text: bytes) -> Tensor | None:
    """All numbers of a small array at once; None if it needs a closer look."""
    if simdjson is None or b'"' in text:
        return None
    shape = _shape_of_small(text.translate(None, delete=_NOT_STRUCTURE))
    if shape is None:
        return None
    try:
        array: Any = simdjson.Parser().parse(text)
        if b"." in text:
            flat = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
        else:
            flat = np.frombuffer(array.as_buffer(of_type="i"), np.int64)
    except (ValueError, TypeError, RuntimeError):
        return None
    if len(flat) != math.prod(shape):
        return None
    return torch.from_numpy(flat.reshape(shape))


def _has_only_legal_strings(text: bytes) -> bool:
    if b'"' not in text:
        return True
    for word in NONFINITE:
        text = text.replace(b'"%b"' % word.encode(), b"")
    return b'"' not in text


def _rectangular(text: bytes) -> tuple[int, ...] | None:
    """The shape that the brackets and commas prove, or None if they prove none."""
    shape = shape_of(text.translate(None, delete=_NOT_STRUCTURE))
    if shape is not None and text.translate(None, delete=b"[], \t\r\n") == b"":
        return None  # empty lists have the brackets of lists of one
    return shape


def shape_of(tokens: bytes) -> tuple[int, ...] | None:
    """The shape of a rectangular array with these brackets and commas; None if there is none."""
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
    return tuple(reversed(sizes)) if block == tokens else None


_shape_of_small = lru_cache(64)(shape_of)  # calls of one caller have the same shapes


def _flat_numbers(text: bytes, shape: tuple[int, ...], at: str) -> Numbers:
    """All numbers in order; fewer than the shape has if some list is empty."""
    pieces: list[Numbers] = []
    start = done = 0
    while start < len(text):
        end = len(text)
        if end - start > PIECE_BYTES:
            cut = text.rfind(b",", start, start + PIECE_BYTES)
            end = cut if cut > start else end
        flat = b"[" + text[start:end].translate(_BRACKETS_TO_SPACES) + b"]"
        piece = _read_fast(flat)
        if piece is None:
            try:
                piece = _read_piece(flat, shape, done, at)
            except json.JSONDecodeError:  # nothing between two commas: an empty list
                return np.empty(0)
        pieces.append(piece)
        done += len(piece)
        start = end + 1
    dtype = np.int64 if all(piece.dtype == np.int64 for piece in pieces) else np.float64
    return np.concatenate(pieces, dtype=dtype, casting="unsafe")


def _read_fast(flat: bytes) -> Numbers | None:
    """The numbers of a flat list; None if something in it is none, or too big for a fast one."""
    if simdjson is None:
        return None
    try:
        array: Any = simdjson.Parser().parse(flat)
        try:
            return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
        except (ValueError, TypeError):  # 1.0 is no integer, and neither is what int64 cannot hold
            return np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    except (ValueError, TypeError, RuntimeError):
        return None


def _read_piece(flat: bytes, shape: tuple[int, ...], done: int, at: str) -> Numbers:
    """The numbers of a flat list, one by one, the first being element `done` of the whole."""

    def place(k: int) -> str:
        if done + k >= math.prod(shape):
            return at
        return at + "".join(f"[{i}]" for i in np.unravel_index(done + k, shape))

    try:
        values = json.loads(flat)
    except json.JSONDecodeError:
        raise
    except ValueError as err:  # an integer of more digits than Python converts
        raise OutOfRange("a number has too many digits", at=at, expected="|x| < 1.8e308") from err
    try:
        return _as_array([_leaf(value, at) for value in values])
    except LossdError:  # the place is worked out only where it is needed: it costs more than a leaf
        return _as_array([_leaf(value, place(k)) for k, value in enumerate(values)])


def _as_array(leaves: list[int | float]) -> Numbers:
    if all(type(leaf) is int and -(2**63) <= leaf < 2**63 for leaf in leaves):
        return np.array(leaves, dtype=np.int64)
    return np.array([float(leaf) for leaf in leaves], dtype=np.float64)


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
    return torch.from_numpy(_as_array(leaves)).reshape(shape)


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
