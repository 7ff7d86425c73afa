"""Columns of a table to the arrays that an audit takes. Errors name the file, row and column."""

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lossd.audit.chunk import SliceColumn
from lossd.cli.predictions._source import Kinds
from lossd.errors import LossdError, MissingInput, WrongDtype, WrongShape

MOST_TEXT = 256  # characters of an id or of a slice's value
NULL = "null"  # the value of a slice where there is none
_NO_CLASS = -1
_INDEX = re.compile(r"weights\[(\d+)\]")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names of columns. `scores` and `embedding` may be patterns over several, as `p_*`."""

    scores: str = "logits"
    label: str = "label"
    id: str | None = None
    weight: str | None = None
    slices: tuple[str, ...] = ()
    embedding: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What is wanted, as the columns of a file that hold it."""

    wanted: Wanted
    scores: tuple[str, ...]
    embedding: tuple[str, ...]

    @property
    def kinds(self) -> Kinds:
        """What each column is read as where the file does not say it."""
        wanted, found = self.wanted, dict[str, Any]()
        for name in (wanted.label, wanted.id):
            if name is not None:
                found[name] = "any"
        found |= dict.fromkeys(wanted.slices, "text")
        floats = [*self.scores, *self.embedding, *([wanted.weight] if wanted.weight else [])]
        return found | dict.fromkeys(floats, "floats")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What the one `*` of the scores' pattern stands for; None if these are 0, 1, 2, ..."""
        pattern = self.wanted.scores
        if pattern in self.scores or not re.fullmatch(r"[^*?\[]*\*[^*?\[]*", pattern):
            return None
        before, _, after = pattern.partition("*")
        found = tuple(name[len(before) : len(name) - len(after)] for name in self.scores)
        return None if found == tuple(map(str, range(len(found)))) else found


def find_columns(wanted: Wanted, names: Sequence[str], at: str) -> Columns:
    """The columns of a file. Raises `MissingInput`, `WrongShape`."""
    single = (wanted.label, wanted.id, wanted.weight, *wanted.slices)
    for name in single:
        if name is not None:
            _require(name, names, at)
    embedding = () if wanted.embedding is None else _matching(wanted.embedding, names, at)
    found = Columns(wanted, _matching(wanted.scores, names, at), embedding)
    for name in found.kinds:
        if list(names).count(name) > 1:
            raise WrongShape("two columns have one name", at=f"{at}: column {name}")
    return found


def _require(name: str, names: Sequence[str], at: str) -> None:
    if name not in names:
        raise MissingInput(
            "there is no such column",
            at=f"{at}: column {name}",
            expected="one of " + ", ".join(map(str, names))[:200] if names else "columns",
        )


def _matching(pattern: str, names: Sequence[str], at: str) -> tuple[str, ...]:
    """The column of that name, or those of the pattern, sorted as people count."""
    if pattern in names or not re.search(r"[*?\[]", pattern):
        _require(pattern, names, at)
        return (pattern,)
    found = sorted(dict.fromkeys(fnmatch.filter(names, pattern)), key=_natural)
    if not found:
        _require(pattern, names, at)
    return tuple(found)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]


class Reader:
    """Record batches to the arguments of `Audit.add`; it holds later ones to the first's kinds."""

    def __init__(self, classes: tuple[str, ...] | None) -> None:
        self._classes = classes
        self._has_text_ids: bool | None = None

    def fields(self, batch: Any, columns: Columns, at: str, first: int) -> dict[str, Any]:
        """The arrays of a batch, whose first row is the file's `first`. Raises `LossdError`."""
        place = _Place(at, first)
        wanted = columns.wanted
        take: Callable[[str], Any] = batch.column
        found: dict[str, Any] = {
            "scores": _matrix([take(name) for name in columns.scores], columns.scores, place),
            "labels": self._labels(take(wanted.label), place.of(wanted.label)),
        }
        if wanted.id is not None:
            found["ids"] = self._ids(take(wanted.id), place.of(wanted.id))
        if wanted.weight is not None:
            found["weights"] = _numbers(take(wanted.weight), place.of(wanted.weight))
        if wanted.slices:
            found["slices"] = {name: _slice(take(name), place.of(name)) for name in wanted.slices}
        if wanted.embedding is not None:
            several = [take(name) for name in columns.embedding]
            found["embeddings"] = _matrix(several, columns.embedding, place)
        return found

    def _labels(self, column: Any, place: "_Place") -> NDArray[np.int64]:
        """Class numbers; null and names of no class are -1, which no class is."""
        column = _decoded(column)
        kind = column.type
        if pa.types.is_null(kind):
            return np.full(len(column), _NO_CLASS, np.int64)
        if _is_text(kind):
            return self._named(column, place)
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int64())
        elif pa.types.is_floating(kind):
            column = _whole_numbers(column, place)
        elif not pa.types.is_integer(kind):
            raise place.wrong("labels are class numbers or names", "integers or text", kind)
        try:
            whole = column.cast(pa.int64())
        except pa.ArrowInvalid as err:
            raise place.wrong("a label is beyond 64 bits", "integers", kind) from err
        found: NDArray[np.int64] = whole.fill_null(_NO_CLASS).to_numpy(zero_copy_only=False)
        return found

    def _named(self, column: Any, place: "_Place") -> NDArray[np.int64]:
        if self._classes is None:
            detail = "labels are text: name the classes in their order with --classes"
            raise WrongDtype(detail, at=place.at, expected="integers", got="text")
        found = pc.index_in(column.cast(pa.string()), pa.array(self._classes, pa.string()))
        indices: NDArray[np.int64] = (
            found.cast(pa.int64()).fill_null(_NO_CLASS).to_numpy(zero_copy_only=False)
        )
        return indices

    def _ids(self, column: Any, place: "_Place") -> NDArray[Any]:
        column = _decoded(column)
        if column.null_count:
            raise place.wrong("a row has no id", "an id", "null", pc.is_null(column))
        kind = column.type
        if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
            is_text = False
            ids: NDArray[Any] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        elif pa.types.is_floating(kind) or pa.types.is_nested(kind) or _is_binary(kind):
            raise place.wrong("not ids", "integers or text", kind)
        else:
            is_text = True
            text = _short_text(column, place)
            ids = np.array(text.to_pylist(), np.str_) if len(text) else np.empty(0, "U1")
        if self._has_text_ids not in (None, is_text):
            raise place.wrong("ids are all integers or all text", *_TWO[is_text])
        self._has_text_ids = is_text
        return ids


_TWO = {True: ("integers, as before", "text"), False: ("text, as before", "integers")}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a batch, or a column of it, comes from."""

    file: str
    first: int
    column: str = ""

    def of(self, column: str) -> "_Place":
        return _Place(self.file, self.first, column)

    @property
    def at(self) -> str:
        return f"{self.file}: column {self.column}"

    def row(self, row: int) -> str:
        return f"{self.file}: row {self.first + row}, column {self.column}"

    def wrong(self, detail: str, expected: str, got: Any, where: Any = None) -> WrongDtype:
        """An error, at the first row of a mask if there is one."""
        at = self.at
        if where is not None:
            at = self.row(int(np.argmax(np.asarray(where))))
        return WrongDtype(detail, at=at, expected=expected, got=str(got)[:100])


@contextmanager
def placed(columns: Columns, at: str, first: int) -> Iterator[None]:
    """Errors of the audit about an argument name the file, the column and the row."""
    wanted = columns.wanted
    names = {
        "scores": wanted.scores,
        "labels": wanted.label,
        "ids": wanted.id,
        "weights": wanted.weight,
        "embeddings": wanted.embedding,
    }
    try:
        yield
    except LossdError as err:
        row = _INDEX.fullmatch(err.at)
        name = names.get("weights" if row else err.at)
        if name is not None:
            place = _Place(at, first, name)
            err.at = place.row(int(row[1])) if row else place.at
        raise


def _is_text(kind: Any) -> bool:
    text: bool = (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
    return text


def _is_binary(kind: Any) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
            pa.types.is_binary_view,
        )
    )


def _decoded(column: Any) -> Any:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _whole_numbers(column: Any, place: _Place) -> Any:
    """Labels that were made floats, as pandas does where one is missing; NaN is null."""
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2.0**63)
    broken = ~is_whole & ~np.isnan(numbers)
    if broken.any():
        got = numbers[np.argmax(broken)]
        raise place.wrong("a label is no class number", "whole numbers", got, broken)
    return pa.array(np.where(is_whole, numbers, _NO_CLASS).astype(np.int64))


def _short_text(column: Any, place: _Place) -> Any:
    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise place.wrong("not text", "text or integers", column.type) from err
    too_long = pc.fill_null(pc.greater(pc.utf8_length(text), MOST_TEXT), False)
    if pc.any(too_long).as_py():
        detail = "longer than an id or a slice's value can be"
        raise place.wrong(detail, f"{MOST_TEXT} characters", "more", too_long)
    return text


def _slice(column: Any, place: _Place) -> SliceColumn:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_floating(kind) or _is_binary(kind):
        raise place.wrong("not a slice column", "text, integers, booleans or dates", kind)
    text = _short_text(_decoded(column), place).fill_null(NULL).dictionary_encode()
    codes = text.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return SliceColumn(tuple(text.dictionary.to_pylist()), codes)


def _numbers(column: Any, place: _Place) -> NDArray[np.float64]:
    if column.null_count:
        raise place.wrong("a row has no weight", "a number", "null", pc.is_null(column))
    return _floats(column, place).astype(np.float64, copy=False)


def _floats(column: Any, place: _Place) -> NDArray[Any]:
    """Numbers as float32 or float64; null is NaN."""
    column = _decoded(column)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan, np.float32)
    is_number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind)
    if not is_number:
        raise place.wrong("not numbers", "numbers", kind)
    small = pa.types.is_float32(kind) or pa.types.is_float16(kind)
    found: NDArray[Any] = column.cast(pa.float32() if small else pa.float64()).to_numpy(
        zero_copy_only=False
    )
    return found


def _matrix(columns: Sequence[Any], names: Sequence[str], place: _Place) -> NDArray[Any]:
    """Rows of numbers, of a column of lists or of several columns; a list that is null is NaN."""
    if len(columns) == 1:
        return _of_lists(columns[0], place.of(names[0]))
    found = [_floats(each, place.of(name)) for each, name in zip(columns, names, strict=True)]
    is_double = any(each.dtype == np.float64 for each in found)
    whole = np.empty((len(found[0]), len(found)), np.float64 if is_double else np.float32)
    for j, each in enumerate(found):
        whole[:, j] = each
    return whole


def _of_lists(column: Any, place: _Place) -> NDArray[Any]:
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    kind = column.type
    is_fixed = pa.types.is_fixed_size_list(kind)
    if not is_fixed and not pa.types.is_list(kind) and not pa.types.is_large_list(kind):
        detail = "not lists of numbers; several columns are named by a pattern, as p_*"
        raise place.wrong(detail, "lists", kind)
    present = np.asarray(column.is_valid())
    size = kind.list_size if is_fixed else _common_length(column, present, place)
    flat = _floats(column.flatten(), place)  # without what null lists hide
    if present.all():
        return flat.reshape(len(column), size)
    whole = np.full((len(column), size), np.nan, flat.dtype)
    whole[present] = flat.reshape(-1, size)
    return whole


def _common_length(column: Any, present: NDArray[np.bool_], place: _Place) -> int:
    lengths = np.asarray(pc.list_value_length(column).fill_null(0))
    if not present.any():
        raise place.wrong("every list of some thousand rows is null", "lists", "null", ~present)
    size = int(lengths[np.argmax(present)])
    ragged = present & (lengths != size)
    if ragged.any():
        row = int(np.argmax(ragged))
        raise WrongShape(
            "lists have different lengths",
            at=place.row(row),
            expected=f"{size} numbers",
            got=str(lengths[row]),
        )
    return size
