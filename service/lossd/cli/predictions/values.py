"""Arrow columns to NumPy: numbers, matrices, text. Errors name the file, row and column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lossd.audit.chunk import SliceColumn
from lossd.errors import WrongDtype, WrongShape

MOST_TEXT = 256  # characters of an id or of a slice's value
NULL = "null"  # the value of a slice where there is none
NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch, or a column of it, comes from."""

    file: str
    first: int
    column: str = ""

    def of(self, column: str) -> "Place":
        """The same rows of one column."""
        return Place(self.file, self.first, column)

    @property
    def at(self) -> str:
        """The file and the column."""
        return f"{self.file}: column {self.column}"

    def row(self, row: int) -> str:
        """A row of the batch, by its number in the file."""
        return f"{self.file}: row {self.first + row}, column {self.column}"

    def wrong(self, detail: str, expected: str, got: Any, where: Any = None) -> WrongDtype:
        """An error, at the first row of a mask if there is one."""
        at = self.at
        if where is not None:
            at = self.row(int(np.argmax(np.asarray(where))))
        return WrongDtype(detail, at=at, expected=expected, got=str(got)[:100])


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    text: bool = (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
    return text


def is_binary(kind: Any) -> bool:
    """Whether an Arrow type is bytes."""
    return any(
        test(kind)
        for test in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
            pa.types.is_binary_view,
        )
    )


def decoded(column: Any) -> Any:
    """Without a dictionary, and what an extension type stores."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def whole_numbers(column: Any, place: Place) -> Any:
    """Labels that were made floats, as pandas does where one is missing; NaN is null."""
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2.0**63)
    broken = ~is_whole & ~np.isnan(numbers)
    if broken.any():
        got = numbers[np.argmax(broken)]
        raise place.wrong("a label is no class number", "whole numbers", got, broken)
    return pa.array(np.where(is_whole, numbers, NO_CLASS).astype(np.int64))


def short_text(column: Any, place: Place) -> Any:
    """As text of `MOST_TEXT` characters at most. Raises `WrongDtype`."""
    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise place.wrong("not text", "text or integers", column.type) from err
    too_long = pc.fill_null(pc.greater(pc.utf8_length(text), MOST_TEXT), False)
    if pc.any(too_long).as_py():
        detail = "longer than an id or a slice's value can be"
        raise place.wrong(detail, f"{MOST_TEXT} characters", "more", too_long)
    return text


def slice_of(column: Any, place: Place) -> SliceColumn:
    """The values of a slice column. Raises `WrongDtype`."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_floating(kind) or is_binary(kind):
        raise place.wrong("not a slice column", "text, integers, booleans or dates", kind)
    text = short_text(decoded(column), place).fill_null(NULL).dictionary_encode()
    codes = text.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return SliceColumn(tuple(text.dictionary.to_pylist()), codes)


def numbers_of(column: Any, place: Place) -> NDArray[np.float64]:
    """One number a row. Raises `WrongDtype`."""
    if column.null_count:
        raise place.wrong("a row has no weight", "a number", "null", pc.is_null(column))
    return _floats(column, place).astype(np.float64, copy=False)


def _floats(column: Any, place: Place) -> NDArray[Any]:
    """Numbers as float32 or float64; null is NaN."""
    column = decoded(column)
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


def is_of_no_lists(columns: Sequence[Any]) -> bool:
    """Whether it is one column of lists, all of them null: what is not there has no length."""
    if len(columns) != 1 or columns[0].null_count < len(columns[0]):
        return False
    return not pa.types.is_fixed_size_list(columns[0].type)


def matrix_of(
    columns: Sequence[Any], names: Sequence[str], place: Place, width: int | None = None
) -> NDArray[Any]:
    """Rows of numbers, of a column of lists or of several columns; a list that is null is NaN.

    `width` is the lists' length where none of these says it.
    """
    if width is not None and is_of_no_lists(columns):
        return np.full((len(columns[0]), width), np.nan, np.float32)
    if len(columns) == 1:
        return _of_lists(columns[0], place.of(names[0]))
    found = [_floats(each, place.of(name)) for each, name in zip(columns, names, strict=True)]
    is_double = any(each.dtype == np.float64 for each in found)
    whole = np.empty((len(found[0]), len(found)), np.float64 if is_double else np.float32)
    for j, each in enumerate(found):
        whole[:, j] = each
    return whole


def _of_lists(column: Any, place: Place) -> NDArray[Any]:
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


def _common_length(column: Any, present: NDArray[np.bool_], place: Place) -> int:
    lengths = np.asarray(pc.list_value_length(column).fill_null(0))
    if not present.any():
        raise place.wrong("every list is null", "lists", "null", ~present)
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
