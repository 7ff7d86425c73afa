"""What a catalog of losses should hold, row by row, and where it is: from docs/coverage.toml."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs._losses import NOTE, cell, link

from lossd.losses import CATALOG
from lossd.objectives import CONTROLLERS, SCHEDULES
from lossd.objectives.body import ObjectiveTerm
from lossd.objectives.ready import TEMPLATES
from lossd.schema.options import Options

INTRODUCTION = """\
What the literature and the libraries have, and where it is here. T0 is what the service began with,
T1 what anybody expects, T2 what no one library has."""
OPTIONS = frozenset({*Options.model_fields, "row_weights"})
OBJECTIVES = frozenset({*TEMPLATES, *CONTROLLERS, *ObjectiveTerm.model_fields})
FILE = Path(__file__).parent / "coverage.toml"
CASES = FILE.parents[1] / "tests/losses/cases"
MPMATH, VERSION = "mpmath 1.3.0", re.compile(r"[\w-]+ \d+\.\d+\.\d+")


@dataclass(frozen=True)
class Member:
    """Something to look for: a loss, an option of a call, a schedule, or why it waits.

    `objective` is a ready-made one, a controller, or a field of a term.
    """

    name: str
    loss: str | None = None
    option: str | None = None
    schedule: str | None = None
    objective: str | None = None
    waits: str | None = None

    @property
    def is_there(self) -> bool:
        """An option is named first, and then what it is to be."""
        option = (self.option or "").partition(":")[0]
        named = self.loss in CATALOG or option in OPTIONS or self.schedule in SCHEDULES
        return named or self.objective in OBJECTIVES


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Coverage:
    """The rows, and the losses that are still being written."""

    rows: tuple[Row, ...]
    waiting: frozenset[str]

    @property
    def members(self) -> list[Member]:
        return [member for row in self.rows for member in row.members]

    @property
    def share_of_rows(self) -> float:
        """Of rows that have something of theirs."""
        there = [any(member.is_there for member in row.members) for row in self.rows]
        return sum(there) / len(there)

    @property
    def share_of_members(self) -> float:
        there = [member.is_there for member in self.members]
        return sum(there) / len(there)


def read() -> Coverage:
    """Raises `TypeError` or `KeyError` where the file is not what it should be."""
    said: dict[str, Any] = tomllib.loads(FILE.read_text())
    rows = [
        Row(row["id"], row["title"], tuple(Member(**each) for each in row["members"]))
        for row in said["row"]
    ]
    return Coverage(tuple(rows), frozenset(said["waiting"]))


def page() -> str:
    found = read()
    there = sum(member.is_there for member in found.members)
    rows = sum(any(member.is_there for member in row.members) for row in found.rows)
    parts = [NOTE, "# Coverage", ""]
    parts += [INTRODUCTION, ""]
    share = f"{found.share_of_members:.0%}", f"{found.share_of_rows:.0%}"
    members = f"{there} of {len(found.members)} members ({share[0]})"
    parts += [f"{members}, in {rows} of {len(found.rows)} rows ({share[1]}).", ""]
    parts += ["| row | | member | here |", "|---|---|---|---|"]
    for row in found.rows:
        for i, member in enumerate(row.members):
            head = (row.id, row.title) if i == 0 else ("", "")
            parts.append(f"| {head[0]} | {cell(head[1])} | {cell(member.name)} | {_here(member)} |")
    return "\n".join(parts + _references())


def _references() -> list[str]:
    """Whose code the reference values are held to."""
    alone = sorted(spec.name for spec in CATALOG.values() if not _has_foreign_case(spec.name))
    parts = ["", "## Where the reference values come from", ""]
    parts += [
        f"The values and gradients of {len(CATALOG) - len(alone)} losses are those of another "
        "library, or agree with it where they were computed with mpmath. For these "
        f"{len(alone)} no library's code is among the cases; theirs are from the paper only, "
        "computed with mpmath or by hand: "
        + ", ".join(link(CATALOG[name]) for name in alone)
        + ".",
        "",
    ]
    return parts


def _has_foreign_case(loss: str) -> bool:
    """Whether some case names a library and its version, mpmath aside."""
    cases = json.loads((CASES / f"{loss}.json").read_text())
    sources = [case["from"].replace(MPMATH, "") for case in cases]
    return any(VERSION.search(source) for source in sources)


def _here(member: Member) -> str:
    if member.option is not None and member.is_there:
        return f"the option {member.option}"
    if member.loss in CATALOG:
        return link(CATALOG[member.loss])
    if member.schedule in SCHEDULES:
        return f"`POST /v1/schedules/{member.schedule}`"
    if member.objective in TEMPLATES:
        return f"`GET /v1/objectives/{member.objective}`"
    if member.objective in OBJECTIVES:
        return f"[objectives](objectives.md), `{member.objective}` of a term"
    return f"waits: {cell(member.waits or 'being written')}"
