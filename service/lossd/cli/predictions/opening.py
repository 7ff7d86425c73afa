"""Which files are meant, and what opens each kind."""

import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from lossd.cli.predictions._source import Source, refusing
from lossd.cli.predictions.arrays import open_npz, open_safetensors
from lossd.cli.predictions.tables import open_ipc, open_ipc_stream, open_parquet
from lossd.cli.predictions.texts import open_csv, open_jsonl, opened
from lossd.errors import BadOption, UnreadableBody

STANDARD_INPUT = "-"
STREAMS = {"arrow": open_ipc_stream, "jsonl": open_jsonl, "csv": open_csv}
_COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}


@contextmanager
def _open_text(kind: Callable[..., AbstractContextManager[Source]], path: Path) -> Iterator[Source]:
    with opened(path) as stream, kind(stream, str(path)) as source:
        yield source


_FILES: dict[str, Callable[[Path], AbstractContextManager[Source]]] = {
    ".parquet": open_parquet,
    ".arrow": open_ipc,
    ".feather": open_ipc,
    ".csv": partial(_open_text, open_csv),
    ".tsv": partial(_open_text, partial(open_csv, delimiter="\t")),
    ".jsonl": partial(_open_text, open_jsonl),
    ".ndjson": partial(_open_text, open_jsonl),
    ".npz": open_npz,
    ".safetensors": open_safetensors,
}


def files_of(names: Sequence[str]) -> list[str]:
    """Files by their names and patterns, each once, sorted.

    Raises `UnreadableBody`, `BadOption`.
    """
    if STANDARD_INPUT in names:
        if len(names) > 1:
            raise BadOption("standard input is read alone", at="files", got=" ".join(names)[:200])
        return [STANDARD_INPUT]
    found: set[str] = set()
    for name in names:
        if Path(name).is_file() or not glob.has_magic(name):
            found.add(name)
            continue
        matching = [each for each in glob.glob(name, recursive=True) if Path(each).is_file()]
        if not matching:
            raise UnreadableBody("no file has such a name", at=name)
        found |= set(matching)
    by_place: dict[str, str] = {}
    for name in sorted(found):
        other = by_place.setdefault(os.path.realpath(name), name)
        if other != name:
            raise BadOption("one file by two names", at=name, expected="each once", got=other)
    return sorted(found)


@contextmanager
def opening(name: str, input_format: str | None) -> Iterator[Source]:
    """One file. Raises `UnreadableBody` for one that is missing or not what its name says."""
    with ExitStack() as stack:
        with refusing(name):
            source = stack.enter_context(_opener(name, input_format))
        yield source


def _opener(name: str, input_format: str | None) -> AbstractContextManager[Source]:
    if name == STANDARD_INPUT:
        if input_format is None:
            detail = "standard input has no ending: say --input-format"
            raise BadOption(detail, at="input_format", expected=", ".join(STREAMS))
        return STREAMS[input_format](sys.stdin.buffer, "standard input")
    path = Path(name)
    endings = [each.lower() for each in path.suffixes]
    is_compressed = len(endings) > 1 and endings[-1] in _COMPRESSED
    ending = endings[-2] if is_compressed else (endings or [""])[-1]
    opener = _FILES.get(ending)
    if opener is None or (is_compressed and not isinstance(opener, partial)):
        raise UnreadableBody(
            "no such kind of file is read here",
            at=name,
            expected=", ".join(_FILES),
            got="".join(endings[-2:]) or "no ending",
        )
    return opener(path)
