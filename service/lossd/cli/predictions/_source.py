"""What every kind of file is to a reader."""

import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from safetensors import SafetensorError

from lossd.cli.predictions.values import MOST_TEXT, decoded
from lossd.errors import UnreadableBody

BATCH_BYTES = 8 << 20  # of columns that are in memory at once
MOST_ROWS = 1 << 18

Kind = Literal["floats", "text", "any", "named", "id"]  # named: labels, where classes have names
Kinds = Mapping[str, Kind]  # of the columns to read: what an untyped file shall read them as
Batches = Generator[tuple[int, Any], None, int]
Read = Callable[[Kinds, Callable[[], bool]], Batches]


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: its columns' names, and its rows if they are known without reading it.

    `read` yields record batches with the number of their first row, and returns how many rows
    there were. It asks once for each unit of the file (a row group, a block), in order, whether to
    read it.
    """

    names: Sequence[str]
    rows: int | None
    read: Read


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """What a file that is not what it claims to be raises becomes `UnreadableBody`."""
    try:
        yield
    except (OSError, EOFError) as err:
        said = getattr(err, "strerror", None) or err
        raise UnreadableBody(f"cannot be read: {_one_line(said)}", at=name) from err
    except MemoryError as err:
        raise UnreadableBody("asks for more memory than there is", at=name) from err
    except (
        pa.ArrowException,
        SafetensorError,
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        NotImplementedError,
    ) as err:
        raise UnreadableBody(f"not what its ending says: {_one_line(err)}", at=name) from err


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:300]


def cut(first: int, batch: Any) -> Iterator[tuple[int, Any]]:
    """A batch in pieces of about `BATCH_BYTES` at most, with their first rows."""
    # As NumPy text, every row takes as much as the longest one, at 4 bytes a character.
    as_text = max((4 * _longest(each) for each in batch.columns), default=0) * batch.num_rows
    most_bytes = max(batch.nbytes, as_text, 1)
    rows = min(MOST_ROWS, max(1, batch.num_rows * BATCH_BYTES // most_bytes))
    for start in range(0, batch.num_rows, rows):
        yield first + start, batch.slice(start, rows)


def _longest(column: Any) -> int:
    """Characters of the longest text; longer ids are refused."""
    column = decoded(column)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return 0
    return min(pc.max(pc.utf8_length(column)).as_py() or 0, MOST_TEXT)
