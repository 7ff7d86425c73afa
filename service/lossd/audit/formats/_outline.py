"""What forms for people say, before it has a form: sections of sentences and tables.

Texts here are as they came: a form makes them harmless for its readers (`printable`, and more).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossd.audit.report import Report

_MOST_LETTERS = 2_000
_MOST_IDS = 10
_LISTED = 5
_MOST_GATES = 200
_ORDER = {"fail": 0, "inconclusive": 1, "warn": 2, "pass": 3}
_VERBS = {"pass": "passes", "fail": "fails", "warn": "warns", "inconclusive": "is inconclusive"}


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence; `mark` is a word for how grave it is, or empty."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first column is names, the others numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A title, sentences, and a table or none."""

    title: str
    lines: tuple[Line, ...] = ()
    table: Table | None = None


def printable(text: object, most: int = _MOST_LETTERS) -> str:
    """Text on one line that no terminal or page takes for a command; cut where it is long."""
    whole = str(text)
    safe = "".join(each if each.isprintable() else _escape(each) for each in whole[:most])
    return safe if len(whole) <= most and len(safe) <= most else f"{safe[: most - 1]}…"


def _escape(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def number(x: Any) -> str:
    """A number of a table."""
    if x is None:
        return "-"
    return f"{x:.4g}" if isinstance(x, float) else str(x)


def headline(report: Report) -> str:
    """The verdict, as a sentence."""
    count = {name: sum(each.severity == name for each in report.findings) for name in _SEVERITIES}
    said = ", ".join(
        f"{n} {name}{'' if n == 1 or name == 'info' else 's'}" for name, n in count.items() if n
    )
    findings = f"findings: {said}" if said else "nothing was found amiss"
    if not report.gates:
        return f"The audit of {report.rows} rows has no gates; {findings}."
    of = {name: sum(each.verdict == name for each in report.gates) for name in _ORDER}
    gates = ", ".join(f"{n} {name}" for name, n in of.items() if n)
    verb = _VERBS[report.verdict]
    return f"The audit of {report.rows} rows {verb} (gates: {gates}); {findings}."


_SEVERITIES = ("error", "warning", "info")


def outline(report: Report) -> Iterator[Section]:
    """The sections that a report has something for."""
    sections = [
        Section("Findings", tuple(_findings(report))),
        Section("Gates", tuple(_gates(report))),
        _comparison(report.comparison or {}),
        Section("Results", (), _results(report)),
        *_groups(report.results),
        _confused(report.results.get("confusion", {})),
        _suspects(report.results.get("label_issues", {})),
    ]
    yield from (each for each in sections if each.lines or each.table)


def _findings(report: Report) -> Iterator[Line]:
    for each in report.findings:
        ids = ", ".join(printable(i, 100) for i in each.ids[:_MOST_IDS])
        rows = f" Rows: {ids}{', …' if (each.count or 0) > len(each.ids) else ''}." if ids else ""
        yield Line(f"{each.sentence}{rows}", each.severity)


def _gates(report: Report) -> Iterator[Line]:
    gates = sorted(report.gates, key=lambda each: _ORDER[each.verdict])
    for each in gates[:_MOST_GATES]:
        named = "" if each.sentence.startswith(each.name) else f"{each.name}: "
        yield Line(f"{named}{each.sentence}", each.verdict)
    if len(gates) > _MOST_GATES:
        yield Line(f"{len(gates) - _MOST_GATES} more gates are not listed.")


def _comparison(found: Mapping[str, Any]) -> Section:
    return Section("Against the baseline", tuple(Line(each) for each in found.get("sentences", ())))


def _results(report: Report) -> Table | None:
    """The numbers that a person looks for first, with their intervals."""
    paths = {
        "accuracy": ("accuracy", "top_1", "value"),
        "accuracy among five": ("accuracy", "top_5", "value"),
        "mean loss": ("loss", "mean"),
        "mean confidence": ("calibration", "mean_confidence"),
        "calibration error": ("calibration", "ece", "equal_width_15"),
        "Brier score": ("calibration", "brier", "value"),
        "suspected labels": ("label_issues", "count"),
    }
    rows = []
    for name, path in paths.items():
        inside: Any = report.results
        for part in path[:-1]:
            inside = inside.get(part, {}) if isinstance(inside, Mapping) else {}
        value = inside.get(path[-1]) if isinstance(inside, Mapping) else None
        if value is not None:
            rows.append((name, number(value), _interval(inside.get("interval"))))
    return Table(("result", "value", "95 % interval"), tuple(rows)) if rows else None


def _interval(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f"{number(pair[0])} to {number(pair[1])}"


def _groups(results: Mapping[str, Any]) -> Iterator[Section]:
    classes = results.get("per_class", {}).get("classes", [])
    yield _worst("Classes", "class", classes)
    columns = results.get("per_slice", {}).get("columns", {})
    for column, each in columns.items():
        yield _worst(f"Slices by {column}", "value", each["values"])


def _worst(title: str, key: str, groups: Sequence[Mapping[str, Any]]) -> Section:
    """The groups of the lowest accuracy."""
    known = [each for each in groups if each.get("accuracy") is not None]
    known.sort(key=lambda each: (each["accuracy"], str(each[key])))
    if not known:
        return Section(title)
    rows = [
        (
            str(each[key]),
            number(each["count"]),
            number(each["accuracy"]),
            _interval(each.get("accuracy_interval")),
            number(each.get("mean_loss")),
        )
        for each in known[:_LISTED]
    ]
    header = (key, "rows", "accuracy", "95 % interval", "mean loss")
    more = len(known) - len(rows)
    lines = (Line(f"The {len(rows)} of lowest accuracy, of {len(known)}."),) if more else ()
    return Section(title, lines, Table(header, tuple(rows)))


def _confused(found: Mapping[str, Any]) -> Section:
    pairs = found.get("most_confused", [])[:_LISTED]
    rows = [
        (f"{each['label']} as {each['predicted']}", number(each["count"]), number(each["share"]))
        for each in pairs
    ]
    table = Table(("label as predicted", "rows", "share"), tuple(rows)) if rows else None
    return Section("Most confused", (), table)


def _suspects(found: Mapping[str, Any]) -> Section:
    listed = found.get("listed", [])[: 2 * _LISTED]
    rows = [
        (str(each["id"]), str(each["label"]), str(each["suggested"]), number(each["score"]))
        for each in listed
    ]
    table = Table(("row", "label", "suggested", "score"), tuple(rows)) if rows else None
    count = found.get("count")
    lines = (Line(f"The first {len(rows)} of {count}."),) if rows and count else ()
    return Section("Suspected labels", lines, table)
