"""Which lines of a codec a set of inputs runs. Lines outside of functions run on import."""

import dis
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz.targets import TARGETS, attempt

# The modules that each reader runs through. `Target.read` calls none of their functions that write.
MODULES = {
    "json": ("json", "_json_arrays"),
    "json_scan": ("json", "_json_arrays", "_json_scan"),  # whose compiled lines cannot be seen
    "safetensors": ("safetensors",),
    "npz": ("npz",),
    "arrow": ("arrow", "_arrow_columns", "_arrow_envelope", "_flatbuffer"),
    "arrow_stream": ("arrow_stream", "_arrow_columns", "_arrow_envelope", "_flatbuffer"),
    "oip": ("oip", "_json_arrays"),
    "compressed": ("compression",),
}


@dataclass(frozen=True)
class Coverage:
    """Of one module: the lines of the functions that were entered, those of them that ran, and the
    functions that were not entered."""

    module: str
    lines: frozenset[int]
    ran: frozenset[int]
    not_entered: tuple[str, ...]

    @property
    def missed(self) -> list[int]:
        return sorted(self.lines - self.ran)

    def __str__(self) -> str:
        text = f"{self.module}: {len(self.ran)} of {len(self.lines)} lines"
        if self.missed:
            text += f"; not {', '.join(map(str, self.missed))}"
        if self.not_entered:
            text += f"; not entered: {', '.join(self.not_entered)}"
        return text


def coverage_of(reader: str, inputs: Iterable[bytes]) -> list[Coverage]:
    """Read every input, and tell what ran, module by module."""
    target = TARGETS[reader]()
    modules = [import_module(f"lossd.wire.{name}") for name in MODULES[reader]]
    ran: dict[str, set[int]] = {str(module.__file__): set() for module in modules}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        lines = ran.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for data in inputs:
            attempt(target, data)
    finally:
        sys.settrace(before)
    return [_coverage(Path(name), lines) for name, lines in ran.items()]


def _coverage(file: Path, ran: set[int]) -> Coverage:
    entered: set[int] = set()
    others = []
    for function in _functions(compile(file.read_text(), str(file), "exec")):
        lines = {line for _, line in dis.findlinestarts(function) if line}
        if lines & ran:
            entered |= lines
        else:
            others.append(function.co_name)
    return Coverage(file.stem, frozenset(entered), frozenset(entered & ran), tuple(others))


def _functions(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & 1:  # a function's names are fixed, a class body's are not
                yield each
            yield from _functions(each)
