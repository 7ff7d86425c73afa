"""Some rows to audit: what comes from outside, checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd.audit.ids import Ids
from lossd.audit.setup import Setup
from lossd.errors import MissingInput, OutOfRange, UnexpectedInput, WrongDtype, WrongShape

MOST_CLASSES = 1_000_000
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-12, 1e12  # sums are in fixed point


@dataclass(frozen=True, slots=True)
class SliceColumn:
    """The values of one column, each row's by its place among them."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow each other. Scores may be NaN, and labels out of range.

    `scores` is (rows, classes), float32 or float64; `labels` int64; `ids` int64 or strings.
    """

    scores: NDArray[Any]
    labels: NDArray[np.int64]
    ids: Ids
    weights: NDArray[np.float64] | None = None
    slices: Mapping[str, SliceColumn] = field(default_factory=dict)
    embeddings: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, which: slice | NDArray[np.int64]) -> "Chunk":
        """Some of the rows."""
        return Chunk(
            self.scores[which],
            self.labels[which],
            self.ids[which],
            None if self.weights is None else self.weights[which],
            {
                name: SliceColumn(each.names, each.codes[which])
                for name, each in self.slices.items()
            },
            None if self.embeddings is None else self.embeddings[which],
        )


def chunk_of(
    setup: Setup,
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    first_row: int,
    ids: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    slices: Mapping[str, ArrayLike] | None = None,
    embeddings: ArrayLike | None = None,
) -> Chunk:
    """Check arrays against a setup. `first_row` numbers the rows where there are no ids.

    Raises `WrongShape`, `WrongDtype`, `OutOfRange`, `MissingInput`, `UnexpectedInput`, at the
    argument's name.
    """
    z = _floats(scores, "scores")
    if z.ndim != 2 or not 1 < z.shape[1] <= MOST_CLASSES:
        expected = "(rows, classes), of 2 classes or more"
        raise WrongShape("scores are a matrix", at="scores", expected=expected, got=str(z.shape))
    if setup.classes is not None and z.shape[1] != len(setup.classes):
        expected = f"{len(setup.classes)} classes"
        raise WrongShape(
            "scores of other classes", at="scores", expected=expected, got=str(z.shape[1])
        )
    rows = len(z)
    _check_presence(setup, ids, weights, slices or {}, embeddings)
    return Chunk(
        z,
        _rows_of(_labels(labels), rows, "labels"),
        np.arange(first_row, first_row + rows) if ids is None else _ids(ids, rows),
        None if weights is None else _weights(weights, rows),
        {name: slice_column((slices or {})[name], rows, f"slices.{name}") for name in setup.slices},
        None if embeddings is None else _embeddings(embeddings, rows, setup.embedding_size),
    )


def _check_presence(
    setup: Setup,
    ids: Any,
    weights: Any,
    slices: Mapping[str, ArrayLike],
    embeddings: Any,
) -> None:
    wanted = {
        "ids": (setup.has_ids, ids is not None),
        "weights": (setup.has_weights, weights is not None),
        "embeddings": (setup.embedding_size is not None, embeddings is not None),
    }
    wanted |= {f"slices.{name}": (True, name in slices) for name in setup.slices}
    wanted |= {f"slices.{name}": (False, True) for name in slices if name not in setup.slices}
    for at, (is_wanted, is_there) in wanted.items():
        if is_wanted and not is_there:
            raise MissingInput("the audit was set up with it", at=at)
        if is_there and not is_wanted:
            raise UnexpectedInput("the audit was set up without it", at=at)


def _floats(x: ArrayLike, at: str) -> NDArray[Any]:
    array = np.asarray(x)
    if array.dtype == np.float16 or array.dtype.kind in "iub":
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise WrongDtype("not numbers", at=at, expected="floats", got=str(array.dtype))
    return np.ascontiguousarray(array)


def _rows_of(x: NDArray[Any], rows: int, at: str) -> NDArray[Any]:
    if x.shape != (rows,):
        raise WrongShape("one per row is wanted", at=at, expected=str([rows]), got=str(x.shape))
    return x


def _labels(x: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(x)
    if array.dtype.kind not in "iu" and array.size:
        raise WrongDtype(
            "labels are class numbers", at="labels", expected="integers", got=str(array.dtype)
        )
    return np.ascontiguousarray(array.astype(np.int64))


def _ids(x: ArrayLike, rows: int) -> Ids:
    array = _rows_of(np.asarray(x), rows, "ids")
    if array.dtype.kind in "iu":
        return np.ascontiguousarray(array.astype(np.int64))
    if array.dtype.kind == "O" and all(isinstance(each, str) for each in array):
        array = array.astype(np.str_)
    if array.dtype.kind != "U":
        raise WrongDtype("not ids", at="ids", expected="integers or strings", got=str(array.dtype))
    return np.ascontiguousarray(array)


def _weights(x: ArrayLike, rows: int) -> NDArray[np.float64]:
    array = _rows_of(_floats(x, "weights"), rows, "weights").astype(np.float64)
    bad = np.flatnonzero(~((array >= 0) & (array < np.inf)))
    if len(bad):
        raise WrongDtype(
            "weights are finite and not negative",
            at=f"weights[{bad[0]}]",
            expected="0 or more",
            got=str(array[bad[0]]),
        )
    bad = np.flatnonzero((array != 0) & ~((array >= _LEAST_WEIGHT) & (array <= _MOST_WEIGHT)))
    if len(bad):
        raise OutOfRange(
            "a weight is too small or too large to be summed exactly; scale all of them",
            at=f"weights[{bad[0]}]",
            expected=f"0, or {_LEAST_WEIGHT:g} to {_MOST_WEIGHT:g}",
            got=str(array[bad[0]]),
        )
    return array


def _embeddings(x: ArrayLike, rows: int, size: int | None) -> NDArray[Any]:
    array = _floats(x, "embeddings")
    if array.shape != (rows, size):
        expected = str([rows, size])
        raise WrongShape(
            "not the embeddings' shape", at="embeddings", expected=expected, got=str(array.shape)
        )
    return array


def slice_column(x: ArrayLike | SliceColumn, rows: int, at: str) -> SliceColumn:
    """Values as codes. Raises `WrongShape`, `WrongDtype`."""
    if isinstance(x, SliceColumn):
        _rows_of(x.codes, rows, at)
        return x
    array = _rows_of(np.asarray(x), rows, at)
    if array.dtype.kind not in "iubUO":
        expected = "strings, integers or booleans"
        raise WrongDtype("not a slice column", at=at, expected=expected, got=str(array.dtype))
    found, codes = np.unique(array.astype(np.str_), return_inverse=True)
    names: Sequence[str] = [str(each) for each in found]
    return SliceColumn(tuple(names), codes.astype(np.int64))
