"""Which rows a term takes: comparisons of posted tensors, read by a parser of their own.

    labels > 0 and not (`difficult/flag` == 1 or source in [2, 5])

A comparison has a tensor on at least one side, so that every part has a truth per row.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.errors import BadOption, MissingInput, NotFinite, WrongShape

MOST_CHARACTERS = 1000
MOST_DEPTH = 32
Arrays = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]
Truth = Callable[[Arrays], Mask]
Operand = str | int | float  # a tensor by its name, or a number

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<word>[A-Za-z_]\w*)"
    r"|`(?P<quoted>[^`]+)`|(?P<sign><=|>=|==|!=|[<>()\[\],]))",
    re.ASCII,
)
_WORDS = frozenset({"and", "or", "not", "in"})
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
    ">=": np.greater_equal,
    ">": np.greater,
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, sign (words of the language too), end
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Selection:
    """An expression that was read.

    - `names`: the tensors that it compares.
    - `comparisons`: how many passes over the rows it takes.
    """

    names: tuple[str, ...]
    comparisons: int
    truth: Truth

    def rows(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The indices of the rows that it is true of, ascending.

        Raises `WrongShape` where the tensors do not have one number per row each, and `NotFinite`.
        """
        arrays = {name: _array_of(tensors[name], name) for name in self.names}
        first = self.names[0]
        for name, x in arrays.items():
            if x.shape != arrays[first].shape:
                raise WrongShape(
                    f"{name[:100]} and {first[:100]} have other numbers of rows",
                    expected=str(len(arrays[first])),
                    got=str(len(x)),
                )
        return torch.from_numpy(np.flatnonzero(self.truth(arrays)))


def parse_selection(text: Any, known: Mapping[str, Any]) -> Selection:
    """Read an expression over the known tensors.

    Raises `BadOption` where it is none, with the position, and `MissingInput`.
    """
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise BadOption(
            "not an expression",
            expected=f"at most {MOST_CHARACTERS} characters, like labels > 0",
            got=repr(text)[:100],
        )
    parser = _Parser(text, known)
    truth = parser.all_of_it()
    return Selection(tuple(parser.names), parser.comparisons, truth)


def _array_of(x: Tensor, name: str) -> NDArray[Any]:
    if x.ndim != 1:
        raise WrongShape(
            f"{name[:100]} does not have one number per row",
            expected="(rows)",
            got=str(list(x.shape)),
        )
    if x.dtype in _NOT_IN_NUMPY:
        x = x.float()
    array: NDArray[Any] = x.numpy()
    if array.dtype.kind == "f" and bool(np.isnan(array).any()):
        bad = np.argwhere(np.isnan(array))[:10].tolist()
        raise NotFinite(f"{name[:100]} holds NaN", expected="numbers", got="NaN", indices=bad)
    return array


_NOT_IN_NUMPY = frozenset({torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2})


def _tokens_of(text: str) -> Iterator[_Token]:
    position = 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None:
            raise _wrong("not understood", position, "a name, a number or a sign", text[position:])
        kind, part = str(found.lastgroup), str(found[str(found.lastgroup)])
        if kind == "word":
            kind = "sign" if part in _WORDS else "name"
        yield _Token("name" if kind == "quoted" else kind, part, found.start(str(found.lastgroup)))
        position = found.end()
    yield _Token("end", "the end", len(text))


def _wrong(what: str, position: int, expected: str, got: str) -> BadOption:
    return BadOption(
        f"{what} at character {position + 1}", expected=expected, got=repr(got[:50].strip())
    )


class _Parser:
    """Recursive descent: or, and, not, comparison, operand."""

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self._tokens = list(_tokens_of(text))
        self._known = known
        self._at = self._depth = 0
        self.names: dict[str, None] = {}  # in order, each once
        self.comparisons = 0

    def all_of_it(self) -> Truth:
        truth = self._any()
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return truth

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str | None:
        """The next token's text if it is one of these signs; then it is behind us."""
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return None
        self._at += 1
        return token.text

    def _expected(self, what: str) -> BadOption:
        return _wrong("not an expression", self._next.position, what, self._next.text)

    def _any(self) -> Truth:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _joined(np.logical_or, parts)

    def _all(self) -> Truth:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _joined(np.logical_and, parts)

    def _one(self) -> Truth:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _wrong(
                "nested too deeply", self._next.position, f"a depth of {MOST_DEPTH}", "more"
            )
        if self._take("not"):
            truth = _negated(self._one())
        elif self._take("("):
            truth = self._any()
            if not self._take(")"):
                raise self._expected(")")
        else:
            truth = self._comparison()
        self._depth -= 1
        return truth

    def _comparison(self) -> Truth:
        position = self._next.position
        left = self._operand()
        if self._take("not"):
            if not self._take("in"):
                raise self._expected("in")
            return _negated(self._members(left, position))
        if self._take("in"):
            return self._members(left, position)
        sign = self._take(*_COMPARE)
        if sign is None:
            raise self._expected("a comparison: < <= == != >= > or in")
        parts = []
        while sign is not None:  # a < b < c is a < b and b < c
            right = self._operand()
            if not isinstance(left, str) and not isinstance(right, str):
                raise _wrong("two numbers are compared", position, "a tensor", f"{left} {sign}")
            parts.append(_compared(_COMPARE[sign], left, right))
            self.comparisons += 1
            left, sign = right, self._take(*_COMPARE)
        return parts[0] if len(parts) == 1 else _joined(np.logical_and, parts)

    def _members(self, left: Operand, position: int) -> Truth:
        if not isinstance(left, str):
            raise _wrong("a number is in a list or not", position, "a tensor", str(left))
        if not self._take("["):
            raise self._expected("[")
        members = [self._number()]
        while self._take(","):
            members.append(self._number())
        if not self._take("]"):
            raise self._expected(", or ]")
        self.comparisons += len(members)
        return _joined(np.logical_or, [_compared(np.equal, left, each) for each in members])

    def _number(self) -> int | float:
        if self._next.kind != "number":
            raise self._expected("a number")
        operand = self._operand()
        assert not isinstance(operand, str)
        return operand

    def _operand(self) -> Operand:
        token = self._next
        if token.kind == "number":
            self._at += 1
            return _number_of(token)
        if token.kind != "name":
            raise self._expected("a tensor's name or a number")
        if token.text not in self._known:
            raise MissingInput(
                f"no tensor of that name is in the body, at character {token.position + 1}",
                expected=f"one of {', '.join(self._known)}"[:200],
                got=token.text[:100],
            )
        self._at += 1
        self.names[token.text] = None
        return token.text


def _number_of(token: _Token) -> int | float:
    if re.fullmatch(r"[+-]?\d{1,20}", token.text):
        return int(token.text)
    number = float(token.text)
    if not np.isfinite(number):
        raise _wrong("too large a number", token.position, "at most 1.7e308", token.text)
    return number


def _compared(sign: Callable[[Any, Any], Any], left: Operand, right: Operand) -> Truth:
    def truth(arrays: Arrays) -> Mask:
        a = arrays[left] if isinstance(left, str) else left
        b = arrays[right] if isinstance(right, str) else right
        with np.errstate(over="ignore"):  # a number beyond a tensor's dtype is infinite in it
            mask: Mask = sign(a, b)
        return mask

    return truth


def _joined(join: Any, parts: list[Truth]) -> Truth:
    def truth(arrays: Arrays) -> Mask:
        mask = parts[0](arrays).copy()
        for part in parts[1:]:
            join(mask, part(arrays), out=mask)
        return mask

    return truth


def _negated(part: Truth) -> Truth:
    def truth(arrays: Arrays) -> Mask:
        mask: Mask = np.logical_not(part(arrays))
        return mask

    return truth
