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

from lossd.cli.predictions._source import Kinds
from lossd.cli.predictions.values import (
    NO_CLASS,
    Place,
    decoded,
    is_binary,
    is_of_no_lists,
    is_text,
    matrix_of,
    numbers_of,
    short_text,
    slice_of,
    whole_numbers,
)
from lossd.errors import BadOption, LossdError, MissingInput, WrongDtype, WrongShape

_INDEX = re.compile(r"weights\[(\d+)\]")
_DIGITS = re.compile(r"(\d+)")
_WHOLE = re.compile(r"\s*\+?([0-9]{1,15})(?:\.0*)?\s*")
_BOOLEANS = {"true", "false"}


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
        found[wanted.label] = "any"
        if wanted.id is not None:
            found[wanted.id] = "id"
        found |= dict.fromkeys(wanted.slices, "text")
        floats = [*self.scores, *self.embedding, *([wanted.weight] if wanted.weight else [])]
        return found | dict.fromkeys(floats, "floats")

    @property
    def starred(self) -> tuple[str, ...] | None:
        """What the one `*` of the scores' pattern stands for, if there is one."""
        pattern = self.wanted.scores
        if pattern in self.scores or not re.fullmatch(r"[^*?\[]*\*[^*?\[]*", pattern):
            return None
        before, _, after = pattern.partition("*")
        return tuple(name[len(before) : len(name) - len(after)] for name in self.scores)

    def class_names(self, said: tuple[str, ...] | None, at: str) -> tuple[str, ...] | None:
        """The names said, or the columns' own; None if these are 0, 1, 2, ...

        Raises `BadOption` where a name that is said is the column's of another class.
        """
        own = self.starred
        if own is None or own == said:
            return said
        if said is None:
            return None if _are_indices(own) else own
        for i, name in enumerate(said):
            if name in own and own.index(name) != i:
                raise BadOption(
                    "the classes are in another order than the columns of the scores",
                    at=f"{at}: column {self.scores[own.index(name)]}",
                    expected=",".join(own)[:200],
                    got=",".join(said)[:200],
                )
        return said


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
    _refuse_two_uses(found, at)
    return found


def _refuse_two_uses(columns: Columns, at: str) -> None:
    """A pattern may take in the labels, which would be scores that know the answer."""
    wanted = columns.wanted
    others = (wanted.label, wanted.id, wanted.weight, *wanted.slices)
    for names, taken in (
        (columns.scores, (*others, *columns.embedding)),
        (columns.embedding, others),
    ):
        for name in names:
            if name in taken:
                detail = "a column of the scores or the embedding is asked for as another thing too"
                raise WrongShape(detail, at=f"{at}: column {name}")


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


def _are_indices(names: tuple[str, ...]) -> bool:
    return names == tuple(map(str, range(len(names))))


class Reader:
    """Record batches to the arguments of `Audit.add`; it holds later ones to the first's kinds."""

    def __init__(
        self, classes: tuple[str, ...] | None, length_of: Callable[[str], int | None]
    ) -> None:
        self._classes = classes
        self._length_of = length_of  # of a column's lists, from wherever one is not null
        self._numbers = {name: i for i, name in enumerate(classes or ())}
        # Of classes 1, 2, 3 the number 1 is the first by its name, and the second by its place.
        self._is_name_or_place = (
            classes is not None
            and not _are_indices(classes)
            and all(_WHOLE.fullmatch(name) for name in classes)
        )
        self._has_text_ids: bool | None = None

    def fields(self, batch: Any, columns: Columns, at: str, first: int) -> dict[str, Any]:
        """The arrays of a batch, whose first row is the file's `first`. Raises `LossdError`."""
        place = Place(at, first)
        wanted = columns.wanted
        take: Callable[[str], Any] = batch.column
        found: dict[str, Any] = {
            "scores": self._matrix(batch, columns.scores, place),
            "labels": self._labels(take(wanted.label), place.of(wanted.label)),
        }
        if wanted.id is not None:
            found["ids"] = self._ids(take(wanted.id), place.of(wanted.id))
        if wanted.weight is not None:
            found["weights"] = numbers_of(take(wanted.weight), place.of(wanted.weight))
        if wanted.slices:
            found["slices"] = {name: slice_of(take(name), place.of(name)) for name in wanted.slices}
        if wanted.embedding is not None:
            found["embeddings"] = self._matrix(batch, columns.embedding, place)
        return found

    def bytes_of_nothing(self, batch: Any, columns: Columns) -> int:
        """What lists that are null become, as NaN, which the batch's own bytes do not say."""
        several = [names for names in (columns.scores, columns.embedding) if names]
        empty = [names[0] for names in several if is_of_no_lists([batch.column(x) for x in names])]
        return sum(4 * batch.num_rows * (self._length_of(name) or 0) for name in empty)

    def _matrix(self, batch: Any, names: Sequence[str], place: "Place") -> NDArray[Any]:
        columns = [batch.column(name) for name in names]
        width = self._length_of(names[0]) if is_of_no_lists(columns) else None
        return matrix_of(columns, names, place, width)

    def _labels(self, column: Any, place: "Place") -> NDArray[np.int64]:
        """Class numbers; null and names of no class are -1, which no class is."""
        column = decoded(column)
        kind = column.type
        if pa.types.is_null(kind):
            return np.full(len(column), NO_CLASS, np.int64)
        if is_text(kind):
            return self._named(column, place)
        if pa.types.is_boolean(kind) and {each.lower() for each in self._numbers} & _BOOLEANS:
            return self._named(column.cast(pa.string()), place)
        if self._is_name_or_place:
            detail = "labels are numbers, and so are the names of the classes: write labels as text"
            raise place.wrong(detail, "text", kind)
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int64())
        elif pa.types.is_floating(kind):
            column = whole_numbers(column, place)
        elif not pa.types.is_integer(kind):
            raise place.wrong("labels are class numbers or names", "integers or text", kind)
        try:
            whole = column.cast(pa.int64())
        except pa.ArrowInvalid as err:
            raise place.wrong("a label is beyond 64 bits", "integers", kind) from err
        found: NDArray[np.int64] = whole.fill_null(NO_CLASS).to_numpy(zero_copy_only=False)
        return found

    def _named(self, column: Any, place: "Place") -> NDArray[np.int64]:
        if self._classes is None:
            detail = "labels are text: name the classes in their order with --classes"
            raise WrongDtype(detail, at=place.at, expected="integers", got="text")
        text = column.cast(pa.string()).dictionary_encode()
        numbers = [*map(self._number, text.dictionary.to_pylist()), NO_CLASS]
        codes = text.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)
        found: NDArray[np.int64] = np.array(numbers, np.int64)[codes]
        return found

    def _number(self, text: str) -> int:
        """The class of that name, or of that number; text files do not tell one from the other."""
        if text in self._numbers:
            return self._numbers[text]
        whole = _WHOLE.fullmatch(text)
        if whole is not None:
            number = int(whole[1])
            return self._numbers.get(str(number), NO_CLASS) if self._is_name_or_place else number
        lower = text.strip().lower()
        if lower not in _BOOLEANS:
            return NO_CLASS
        named = {name.lower(): number for name, number in self._numbers.items()}
        return named.get(lower, NO_CLASS if named.keys() & _BOOLEANS else int(lower == "true"))

    def _ids(self, column: Any, place: "Place") -> NDArray[Any]:
        column = decoded(column)
        if column.null_count:
            raise place.wrong("a row has no id", "an id", "null", pc.is_null(column))
        kind = column.type
        if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
            has_text = False
            ids: NDArray[Any] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        elif pa.types.is_floating(kind) or pa.types.is_nested(kind) or is_binary(kind):
            raise place.wrong("not ids", "integers or text", kind)
        else:
            has_text = True
            text = short_text(column, place)
            ids = np.array(text.to_pylist(), np.str_) if len(text) else np.empty(0, "U1")
        if self._has_text_ids not in (None, has_text):
            raise place.wrong("ids are all integers or all text", *_TWO[has_text])
        self._has_text_ids = has_text
        return ids


_TWO = {True: ("integers, as before", "text"), False: ("text, as before", "integers")}


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
            place = Place(at, first, name)
            err.at = place.row(int(row[1])) if row else place.at
        raise
