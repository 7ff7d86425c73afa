"""Large JSON without the interpreter lock: where an object's members are, and arrays of numbers.

What is unusual in any way is left to the other readers: they say what is wrong, or read it slowly.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import compiled
from lossd.wire._checks import MAX_DIMS

Text = NDArray[np.uint8]
_MOST_MEMBERS = 256
_MOST_DEPTH = 64
_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _PLUS, _DOT = (ord(c) for c in '"\\,:-+.')
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = (ord(c) for c in "{}[]")
_ZERO, _NINE, _SMALL_E, _LARGE_E = (ord(c) for c in "09eE")
# A decimal of an exact integer and an exact power of ten, both float64, is rounded once: exactly.
_EXACT = np.uint64(1 << 53)
_MOST_DIGITS = 18
_POWERS = np.array([10.0**k for k in range(23)])
_READ, _UNUSUAL = 0, 1


def members(text: Text) -> Iterator[tuple[str, slice]] | None:
    """The members of an object, each as its key and where its value is; None if unusual.

    Values are not looked into: only their brackets and strings are matched.
    """
    spans = np.empty((_MOST_MEMBERS, 4), np.int64)
    count = _find_members(text, spans)
    if count < 0:
        return None
    try:
        keys = [bytes(text[begin:end]).decode() for begin, end in spans[:count, :2]]
    except UnicodeDecodeError:
        return None
    places = [slice(int(begin), int(end)) for begin, end in spans[:count, 2:]]
    return zip(keys, places, strict=True)


def numbers(text: Text, most: int) -> NDArray[Any] | None:
    """A rectangular array of numbers: int64 if all are integers, else float64; None if unusual."""
    commas = int(_count(text, _COMMA))
    if commas >= most:
        return None
    out = np.empty(commas + 1)
    shape = np.zeros(MAX_DIMS, np.int64)
    state, depth, integers = _read_numbers(text, out, shape, _POWERS)
    if state != _READ:
        return None
    values: NDArray[Any] = out.astype(np.int64) if integers else out
    return values.reshape(tuple(shape[:depth].tolist()))


@compiled("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _count(text: Any, wanted: int) -> int:
    found = 0
    for i in range(text.size):
        found += text[i] == wanted
    return found


@compiled("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _after_space(text: Any, i: int) -> int:
    while i < text.size and (text[i] == 32 or 9 <= text[i] <= 10 or text[i] == 13):
        i += 1
    return i


@compiled("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _after_string(text: Any, i: int) -> int:
    """Where a string that begins at i ends; -1 if it does not."""
    i += 1
    while i < text.size:
        if text[i] == _QUOTE:
            return i + 1
        i += 2 if text[i] == _BACKSLASH else 1
    return -1


@compiled("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _after_value(text: Any, i: int) -> int:
    """Where a value that begins at i ends, by its brackets and strings alone; -1 if it does not."""
    depth = 0
    while i < text.size:
        c = text[i]
        if depth > 0 and _PLUS <= c <= _COLON:  # what arrays of numbers are nearly all made of
            i += 1
            continue
        if c == _QUOTE:
            i = _after_string(text, i)
            if i < 0 or depth == 0:
                return i
            continue
        if c in (_OPEN, _OPEN_LIST):
            depth += 1
            if depth > _MOST_DEPTH:
                return -1
        elif c in (_CLOSE, _CLOSE_LIST):
            if depth == 0:
                return i
            depth -= 1
            if depth == 0:
                return i + 1
        elif depth == 0 and c == _COMMA:
            return i
        i += 1
    return -1


@compiled("int64(Array(uint8, 1, 'C', readonly=True), Array(int64, 2, 'C'))")
def _find_members(text: Any, spans: Any) -> int:
    """How many members there are, their keys and values in `spans`; -1 if unusual."""
    i = _after_space(text, 0)
    if i >= text.size or text[i] != _OPEN:
        return -1
    i = _after_space(text, i + 1)
    count = 0
    while i < text.size and count < spans.shape[0]:
        if text[i] != _QUOTE:
            return -1
        end = _after_string(text, i)
        if end < 0:
            return -1
        for k in range(i, end):
            if text[k] == _BACKSLASH or text[k] < 32:
                return -1
        spans[count, 0], spans[count, 1] = i + 1, end - 1
        i = _after_space(text, end)
        if i >= text.size or text[i] != _COLON:
            return -1
        begin = _after_space(text, i + 1)
        end = _after_value(text, begin)
        if end <= begin:
            return -1
        spans[count, 2], spans[count, 3] = begin, end
        count += 1
        i = _after_space(text, end)
        if i >= text.size:
            return -1
        if text[i] == _CLOSE:
            return count if _after_space(text, i + 1) == text.size else -1
        if text[i] != _COMMA:
            return -1
        i = _after_space(text, i + 1)
    return -1


@compiled(
    "Tuple((int64, int64, boolean))(Array(uint8, 1, 'C', readonly=True), Array(float64, 1, 'C'),"
    " Array(int64, 1, 'C'), Array(float64, 1, 'C'))"
)
def _read_numbers(text: Any, out: Any, shape: Any, powers: Any) -> Any:
    """Numbers in lists of equal length: state, number of dimensions, whether all are integers."""
    failed = (_UNUSUAL, 0, False)
    counts = np.zeros(MAX_DIMS, np.int64)
    size = text.size
    depth = deepest = at = 0
    integers = True
    i = _after_space(text, 0)
    while i < size and text[i] == _OPEN_LIST and deepest < MAX_DIMS:
        deepest += 1
        i = _after_space(text, i + 1)
    depth = deepest
    if deepest == 0:
        return failed
    while True:
        # One number, at the greatest depth.
        negative = i < size and text[i] == _MINUS
        if negative:
            i += 1
        first = i
        mantissa = np.uint64(0)
        while i < size and _ZERO <= text[i] <= _NINE:
            mantissa = mantissa * np.uint64(10) + np.uint64(text[i] - _ZERO)
            i += 1
        digits = i - first
        if digits == 0 or (digits > 1 and text[first] == _ZERO):
            return failed
        exponent = 0
        if i < size and text[i] == _DOT:
            integers = False
            i += 1
            first = i
            while i < size and _ZERO <= text[i] <= _NINE:
                mantissa = mantissa * np.uint64(10) + np.uint64(text[i] - _ZERO)
                i += 1
            if i == first:
                return failed
            exponent = first - i
            digits += i - first
        if i < size and (text[i] in (_SMALL_E, _LARGE_E)):
            integers = False
            i += 1
            down = i < size and text[i] == _MINUS
            if i < size and text[i] in (_MINUS, _PLUS):
                i += 1
            first = i
            power = 0
            while i < size and _ZERO <= text[i] <= _NINE and i - first < 4:
                power = power * 10 + int(text[i] - _ZERO)
                i += 1
            if i == first:
                return failed
            exponent += -power if down else power
        if digits > _MOST_DIGITS or mantissa > _EXACT or not -22 <= exponent <= 22:
            return failed
        x = float(mantissa)
        x = x / powers[-exponent] if exponent < 0 else x * powers[exponent]
        out[at] = -x if negative else x
        at += 1
        counts[depth - 1] += 1
        # What may follow: the ends of lists, then a comma, then as many beginnings.
        i = _after_space(text, i)
        while i < size and text[i] == _CLOSE_LIST:
            depth -= 1
            if shape[depth] == 0:
                shape[depth] = counts[depth]
            elif shape[depth] != counts[depth]:
                return failed
            counts[depth] = 0
            i = _after_space(text, i + 1)
            if depth == 0:
                return (_READ if i == size and at == out.size else _UNUSUAL), deepest, integers
            counts[depth - 1] += 1
        if i >= size or text[i] != _COMMA:
            return failed
        i = _after_space(text, i + 1)
        while depth < deepest:
            if i >= size or text[i] != _OPEN_LIST:
                return failed
            depth += 1
            i = _after_space(text, i + 1)
