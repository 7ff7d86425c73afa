"""NPZ and safetensors: arrays beside each other, some rows of each at a time."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import safe_open

from lossd.audit.chunk import MOST_CLASSES
from lossd.cli.predictions._source import BATCH_BYTES, MOST_ROWS, Batches, Kinds, Source

_SUFFIX = ".npy"
_MOST_ROW_BYTES = 16 * MOST_CLASSES  # of one array, of the widest numbers
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Shapes = Mapping[str, tuple[int, ...]]


@contextmanager
def open_npz(path: Path) -> Iterator[Source]:
    """A NumPy archive; rows are read in order, so that a compressed one is no larger in memory."""
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
        headers = {each.removesuffix(_SUFFIX): _header(archive, each) for each in members}

        def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
            wanted = {name: headers[name] for name in kinds}
            rows = _rows({name: shape for name, (shape, _, _) in wanted.items()})
            for name, (shape, _, dtype) in wanted.items():
                if dtype.itemsize * int(np.prod(shape[1:])) > _MOST_ROW_BYTES:
                    raise ValueError(f"a row of {name} is larger than {_MOST_ROW_BYTES} bytes")
            bytes_each = sum(
                dtype.itemsize * int(np.prod(shape[1:])) for shape, _, dtype in wanted.values()
            )
            with ExitStack() as stack:
                arrays = {
                    name: _Rows(stack.enter_context(_member(archive, name)), name, *header)
                    for name, header in wanted.items()
                }
                take = {name: array.take for name, array in arrays.items()}
                return (yield from _blocks(take, rows, bytes_each, mine))

        yield Source(list(headers), _rows_if_one([shape for shape, _, _ in headers.values()]), read)


@contextmanager
def open_safetensors(path: Path) -> Iterator[Source]:
    """A safetensors file, memory-mapped."""
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in list(file.keys())}
        shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}

        def read(kinds: Kinds, mine: Callable[[], bool]) -> Batches:
            rows = _rows({name: shapes[name] for name in kinds})
            bytes_each = sum(8 * int(np.prod(shapes[name][1:])) for name in kinds)

            def taker(name: str) -> Callable[[int, int], NDArray[Any]]:
                def take(start: int, stop: int) -> NDArray[Any]:
                    x = slices[name][start:stop]
                    is_small = x.is_floating_point() and x.element_size() < 4  # bfloat16, float8
                    found: NDArray[Any] = (x.float() if is_small else x).numpy()
                    return found

                return take

            take = {name: taker(name) for name in kinds}
            return (yield from _blocks(take, rows, bytes_each, mine))

        yield Source(list(slices), _rows_if_one(list(shapes.values())), read)


def _rows(shapes: Shapes) -> int:
    """The rows that arrays have in common. Raises `ValueError`."""
    for name, shape in shapes.items():
        if not 1 <= len(shape) <= 2:
            raise ValueError(f"{name} has the shape {shape}; expected (rows,) or (rows, columns)")
        if max(shape[1:], default=0) > MOST_CLASSES:
            raise ValueError(f"{name} has {shape[1]} columns; expected {MOST_CLASSES} at most")
    found = {shape[0] for shape in shapes.values()}
    if len(found) != 1:
        said = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
        raise ValueError(f"arrays have different numbers of rows: {said}"[:300])
    return found.pop()


def _rows_if_one(shapes: list[tuple[int, ...]]) -> int | None:
    found = {shape[0] for shape in shapes if shape}
    return found.pop() if len(found) == 1 else None


def _blocks(
    take: Mapping[str, Callable[[int, int], NDArray[Any]]],
    rows: int,
    bytes_each: int,
    mine: Callable[[], bool],
) -> Batches:
    step = min(MOST_ROWS, max(1, BATCH_BYTES // max(1, bytes_each)))
    for first in range(0, rows, step):
        if mine():
            stop = min(first + step, rows)
            columns = [_arrow(each(first, stop)) for each in take.values()]
            yield first, pa.RecordBatch.from_arrays(columns, names=list(take))
    return rows


def _arrow(x: NDArray[Any]) -> Any:
    if x.dtype.kind == "S":
        x = np.char.decode(x, "utf-8")
    if x.dtype.kind not in "fiubU":
        raise ValueError(f"an array of {x.dtype} holds neither numbers nor text")
    x = np.ascontiguousarray(x.astype(x.dtype.newbyteorder("=")))
    if x.ndim == 1:
        return pa.array(x)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    return archive.open(name + _SUFFIX)


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with archive.open(member) as file:
        return _read_header(file)


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of version {version} of the format is not read here")
    shape, is_fortran, dtype = _HEADERS[version](file)
    if min(shape, default=0) < 0:
        raise ValueError(f"no shape: {shape}")
    return shape, is_fortran, dtype


class _Rows:
    """Rows of one array, taken in order."""

    def __init__(
        self, file: BinaryIO, name: str, shape: tuple[int, ...], is_fortran: bool, dtype: Any
    ) -> None:
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which are not loaded")
        if is_fortran and len(shape) > 1:
            raise ValueError(f"{name} lies column by column: save np.ascontiguousarray of it")
        _read_header(file)
        self._file, self._name, self._dtype = file, name, dtype
        self._columns, self._row = shape[1:], 0

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """Rows from `start`, which is not before the last ones, to `stop`."""
        size = self._dtype.itemsize * int(np.prod(self._columns))
        self._file.seek((start - self._row) * size, 1)
        content = self._file.read((stop - start) * size)
        if len(content) != (stop - start) * size:
            raise ValueError(f"{self._name} ends before the rows that it says it has")
        self._row = stop
        return np.frombuffer(content, self._dtype).reshape(stop - start, *self._columns)
