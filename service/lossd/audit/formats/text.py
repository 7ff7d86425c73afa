"""A report for a terminal."""

import unicodedata
from collections.abc import Iterator

from lossd.audit.formats._outline import Line, Section, Table, headline, outline, printable
from lossd.audit.report import Report

_WIDTH = 80
_CELL = 20  # columns, of which a table has five at most
_MARK = max(map(len, ("inconclusive", "warning")))
_COLOURS = {"fail": 31, "error": 31, "warn": 33, "warning": 33, "inconclusive": 33, "pass": 32}


def render(report: Report, *, colours: bool = False) -> str:
    """The whole of it, of 80 columns; colours as terminals take them, where asked for."""
    return "\n\n".join([head(report, colours=colours), *_sections(report, colours)]) + "\n"


def head(report: Report, *, colours: bool = False) -> str:
    """The verdict, findings and gates alone."""
    verdict = _coloured(report.verdict.upper(), report.verdict, colours)
    lines = [f"{verdict}  {_wrapped(headline(report), len(report.verdict) + 2)}"]
    lines += [
        _section(each, colours) for each in outline(report) if each.title in ("Findings", "Gates")
    ]
    return "\n\n".join(lines)


def _sections(report: Report, colours: bool) -> Iterator[str]:
    for each in outline(report):
        if each.title not in ("Findings", "Gates"):
            yield _section(each, colours)


def _section(section: Section, colours: bool) -> str:
    lines = [printable(section.title, _WIDTH - 2)]
    lines += [_line(each, colours) for each in section.lines]
    if section.table is not None:
        lines += _table(section.table)
    return "\n".join(lines)


def _line(line: Line, colours: bool) -> str:
    if not line.mark:
        return "  " + _wrapped(line.text, 2)
    mark = _coloured(line.mark.ljust(_MARK), line.mark, colours)
    return f"  {mark}  {_wrapped(line.text, _MARK + 4)}"


def _wrapped(text: str, indent: int) -> str:
    """Text of lines that fit, of which the first begins at the indent already."""
    held = printable(text).replace(" %", "\xa0%")  # a number and its unit stay on one line
    lines, line, room = [], "", _WIDTH - indent
    for word in held.split(" "):
        longer = f"{line} {word}" if line else word
        if _columns(longer) <= room:
            line = longer
            continue
        lines += [line] if line else []
        *whole, line = _pieces(word, room)
        lines += whole
    return ("\n" + " " * indent).join([*lines, line]).replace("\xa0", " ")


def _pieces(word: str, room: int) -> list[str]:
    """A word cut where it does not fit."""
    pieces, wide = [""], 0
    for letter in word:
        wide += _columns(letter)
        if wide > room:
            pieces.append("")
            wide = _columns(letter)
        pieces[-1] += letter
    return pieces


def _table(table: Table) -> Iterator[str]:
    cells = [[_cell(each) for each in row] for row in (table.header, *table.rows)]
    widths = [max(_columns(row[i]) for row in cells) for i in range(len(table.header))]
    for row in cells:
        first = row[0] + " " * (widths[0] - _columns(row[0]))
        rest = [
            " " * (width - _columns(each)) + each
            for each, width in zip(row[1:], widths[1:], strict=True)
        ]
        yield ("  " + "  ".join([first, *rest])).rstrip()


def _cell(text: str) -> str:
    first, *rest = _pieces(printable(text), _CELL)
    return f"{_pieces(first, _CELL - 1)[0]}…" if rest else first


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def _coloured(text: str, mark: str, colours: bool) -> str:
    colour = _COLOURS.get(mark)
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour else text
