"""Paths to numbers in a report: `accuracy.top_1.value`, `per_class.classes.*.accuracy`.

Parts are separated by dots. In a list of things that have a name (`class`, `value`, `name`, `id`) a
part is that name, in other lists a number from 0. A star stands for any text. A part with a dot or
a star in it is quoted.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossd.errors import BadOption

_MOST_LETTERS = 1_000
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([^."\'][^.]*)')
_OF_DATA = frozenset({"values", "listed"})  # whose names today's rows may not have
_IDENTITIES = ("class", "value", "name", "check", "id")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a path: a name, or a pattern with stars."""

    text: str
    quoted: bool = False

    @property
    def is_wild(self) -> bool:
        """Whether it may stand for several names."""
        return "*" in self.text and not self.quoted

    def matches(self, name: str) -> bool:
        """Whether it stands for a name."""
        if not self.is_wild:
            return name == self.text
        first, *between, last = re.split(r"\*+", self.text)
        if not (name.startswith(first) and name.endswith(last)):
            return False
        place, end = len(first), len(name) - len(last)
        for each in between:  # a star takes as little as it can: no way has to be gone twice
            found = name.find(each, place, end)
            if found < 0:
                return False
            place = found + len(each)
        return place <= end


@dataclass(frozen=True, slots=True)
class Found:
    """A value, the names that led to it, and the mapping that it is in."""

    names: tuple[str, ...]
    value: Any
    beside: Mapping[str, Any]

    @property
    def path(self) -> str:
        """As a path that leads here alone."""
        return ".".join(_quoted(each) for each in self.names)


def parse(path: str, at: str) -> tuple[Part, ...]:
    """The parts of a path. Raises `BadOption`."""
    parts: list[Part] = []
    place = 0
    while len(path) <= _MOST_LETTERS:
        match = _PART.match(path, place)
        if match is None:
            break
        double, single, plain = match.groups()
        if plain is not None:
            parts.append(Part(plain))
        else:
            text = single if double is None else re.sub(r"\\(.)", r"\1", double, flags=re.S)
            parts.append(Part(text, quoted=True))
        place = match.end()
        if place == len(path):
            return tuple(parts)
        if path[place] != ".":
            break
        place += 1
    raise BadOption(
        "not a path", at=at, expected="parts separated by dots, of 1000 letters", got=path[:100]
    )


def find(root: Mapping[str, Any], parts: Sequence[Part], at: str) -> list[Found]:
    """All values that a path leads to. Raises `BadOption` where a part that is a name is not there.

    A part with a star may lead nowhere. What these rows have none of, the value of a slice for
    instance, is None.
    """
    found = list(_walk(root, parts, (), {}, at))
    if found or any(each.is_wild for each in parts):
        return found
    raise AssertionError("a path of names leads to one value")


def _walk(
    value: Any, parts: Sequence[Part], names: tuple[str, ...], beside: Mapping[str, Any], at: str
) -> Iterator[Found]:
    if not parts:
        yield Found(names, value, beside)
        return
    if value is None:  # of these rows there is none of it
        yield Found((*names, *(each.text for each in parts)), None, {})
        return
    part, rest = parts[0], parts[1:]
    children = _children(value)
    matching = [name for name in children if part.matches(name)]
    if not matching and not part.is_wild and names[-1:] and names[-1] in _OF_DATA:
        yield Found((*names, *(each.text for each in parts)), None, {})
        return
    if not matching and (not part.is_wild or not isinstance(value, Mapping | list)):
        raise _unknown(part, list(children), names, at)
    inside = value if isinstance(value, Mapping) else {}
    for name in matching:
        # A star also meets what the path does not go on in: notes beside lists, for example.
        if part.is_wild and rest and not isinstance(children[name], Mapping | list):
            continue
        yield from _walk(children[name], rest, (*names, name), inside, at)


def _children(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list):
        return {}
    for key in _IDENTITIES:
        if value and all(isinstance(each, Mapping) and key in each for each in value):
            named = {str(each[key]): each for each in value}
            if len(named) == len(value):  # of equal names, one would hide the other
                return named
    return {str(i): each for i, each in enumerate(value)}


def _unknown(part: Part, there: list[str], names: tuple[str, ...], at: str) -> BadOption:
    near = difflib.get_close_matches(part.text, there, n=1, cutoff=0.5)
    where = ".".join(_quoted(each) for each in names)
    inside = f"in {where[:200]!r}" if where else "in the report"
    nearest = f"; the nearest is {near[0][:100]!r}" if near else ""
    expected = ", ".join(there[:10]) or "nothing: the path ends before"
    return BadOption(
        f"nothing is named {part.text[:100]!r} {inside}{nearest}",
        at=at,
        expected=(near[0] if near else expected)[:300],
        got=part.text[:100],
    )


def _quoted(name: str) -> str:
    if name and not set(name) & set(".*\"'\\"):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
