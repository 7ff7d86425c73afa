"""A report as Markdown, as GitHub and GitLab read it."""

import re
from collections.abc import Iterator

from lossd.audit.formats._outline import Line, Section, Table, headline, outline, printable
from lossd.audit.report import Report

_CELL = 80
# Punctuation that begins something, and is not needed to read a sentence. A backslash before it
# makes it a letter; what pages take for a tag, an address or a name is written as its number.
_BACKSLASH = re.compile(r"([\\`*_\[\]{}|~#!$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.", re.I)


def render(report: Report) -> str:
    """The whole of it."""
    verdict = f"# Audit: {report.verdict}\n\n{escaped(headline(report))}"
    return "\n\n".join([verdict, *(_section(each) for each in outline(report))]) + "\n"


def escaped(text: str, most: int = 2_000) -> str:
    """Text of which nothing is a mark, a tag, an address or a mention."""
    safe = _BACKSLASH.sub(r"\\\1", printable(text, most))
    safe = "".join(_ENTITIES.get(each, each) for each in safe)
    return _ADDRESS.sub(lambda match: f"&#{ord(match[0])};", safe)


def _section(section: Section) -> str:
    parts = [f"## {escaped(section.title, _CELL)}"]
    if section.lines:
        parts.append("\n".join(_line(each) for each in section.lines))
    if section.table is not None:
        parts.append("\n".join(_table(section.table)))
    return "\n\n".join(parts)


def _line(line: Line) -> str:
    mark = f"**{line.mark}** " if line.mark else ""
    return f"- {mark}{escaped(line.text)}"


def _table(table: Table) -> Iterator[str]:
    yield _row(table.header)
    yield _row(["---", *("---:" for _ in table.header[1:])], plain=True)
    yield from (_row(each) for each in table.rows)


def _row(cells: tuple[str, ...] | list[str], plain: bool = False) -> str:
    return "| " + " | ".join(each if plain else escaped(each, _CELL) for each in cells) + " |"
