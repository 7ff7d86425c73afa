"""Files to tensors: .npy, .npz, .safetensors, .json, .csv."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from lossd.errors import UnreadableBody

Loaded = tuple[dict[str, Tensor], bool]  # named tensors ("" if the file holds one), and untyped


def load(path: Path) -> Loaded:
    """Every tensor in a file, and whether its dtypes were not stated.

    Raises `UnreadableBody` for a file that is missing, or not what its ending says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableBody(
            "no such kind of file is read here",
            at=str(path),
            expected=", ".join(READERS),
            got=path.suffix or "no ending",
        )
    try:
        return reader(path)
    except OSError as err:
        raise UnreadableBody(f"cannot be read: {err.strerror or err}", at=str(path)) from err
    except (ValueError, TypeError, KeyError, SafetensorError) as err:
        raise UnreadableBody(f"not a {path.suffix} file: {err}"[:300], at=str(path)) from err


def _from_numpy(array: np.ndarray[Any, Any], path: Path) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise UnreadableBody(
            "not an array of numbers", at=str(path), expected="numbers", got=str(array.dtype)
        )
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def _npy(path: Path) -> Loaded:
    return {"": _from_numpy(np.load(path, allow_pickle=False), path)}, False


def _npz(path: Path) -> Loaded:
    with np.load(path, allow_pickle=False) as archive:
        return {name: _from_numpy(archive[name], path) for name in archive.files}, False


def _safetensors(path: Path) -> Loaded:
    return safetensors.torch.load_file(path), False


def _json(path: Path) -> Loaded:
    value = json.loads(path.read_text())
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}, True
    return {"": _listed(value)}, True


def _csv(path: Path) -> Loaded:
    """Columns of numbers; a first line that is not numbers is a header and skipped."""
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not all(_is_number(cell) for cell in rows[0]):
        rows = rows[1:]
    integers = all(_is_integer(cell) for row in rows for cell in row)
    cells = [[int(cell) if integers else float(cell) for cell in row] for row in rows]
    table = _listed(cells)
    return {"": table[:, 0] if table.ndim == 2 and table.shape[1] == 1 else table}, True


def _listed(value: Any) -> Tensor:
    array = np.array(value)
    if array.dtype.kind not in "if":
        raise ValueError("expected nested lists of numbers")
    return torch.from_numpy(array.astype(np.int64 if array.dtype.kind == "i" else np.float64))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_integer(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdecimal()


READERS: dict[str, Callable[[Path], Loaded]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".json": _json,
    ".csv": _csv,
}
