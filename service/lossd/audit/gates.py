"""Gates: what a report must say for a pipeline to go on."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lossd.audit.gating.gate import Gate, gate_of
from lossd.audit.gating.paths import Found, find, parse
from lossd.audit.gating.reading import Kind, values_of
from lossd.audit.gating.verdicts import (
    Around,
    changed,
    difference_in,
    in_bounds,
    interval_of,
    is_number,
)
from lossd.audit.report import Gated, Report, Verdict
from lossd.errors import BadOption

MOST_GATES = 1_000
_MOST_LISTED = 100  # of what a path with stars leads to and does not pass
_SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Gates:
    """Gates, in the order that they were written, each with where that was."""

    gates: tuple[tuple[str, Gate], ...]


def read_gates(text: str, kind: Kind) -> Gates:
    """Gates from a file's text: `gates` is a table by paths, or a list with `metric` in each.

    Raises `BadOption` at the place, `UnreadableBody` where it is no such file, `Unsupported` where
    PyYAML is not installed.
    """
    values = values_of(text, kind)
    for name in values:
        if name != "gates":
            raise BadOption("a gate file has gates alone", at=name[:100], expected="gates")
    found = values.get("gates")
    if isinstance(found, dict):
        return gates_of(found)
    if not isinstance(found, list):
        raise BadOption("gates are a table or a list", at="gates", got=str(found)[:100])
    return _gates([(f"gates[{i}]", each) for i, each in enumerate(found)])


def gates_of(values: Mapping[str, Any]) -> Gates:
    """Gates by the paths of their metrics. Raises `BadOption` at the place."""
    named: list[tuple[str, Any]] = []
    for path, each in values.items():
        at = f"gates.{path[:200]}"
        if isinstance(each, Mapping):
            if "metric" in each:
                raise BadOption("the key is the metric", at=f"{at}.metric")
            each = {"metric": path, **each}
        named.append((at, each))
    return _gates(named)


def _gates(named: list[tuple[str, Any]]) -> Gates:
    if len(named) > MOST_GATES:
        raise BadOption("too many gates", at="gates", expected=f"{MOST_GATES} or fewer")
    return Gates(tuple((at, gate_of(each, at)) for at, each in named))


def judge(
    report: Report,
    gates: Gates,
    baseline: Report | Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> Report:
    """The report with its gates judged.

    Changes need `baseline`: a report, or the JSON of one. `comparison` is what `compare` says of
    the two states; it goes into the report. Raises `BadOption` where a gate's path leads nowhere.
    """
    comparison = report.comparison if comparison is None else comparison
    before = _metrics(baseline)
    found = [
        each for at, gate in gates.gates for each in _judged(report, gate, at, before, comparison)
    ]
    return dataclasses.replace(report, gates=tuple(found), comparison=comparison)


def _metrics(baseline: Report | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if baseline is None or isinstance(baseline, Report):
        return None if baseline is None else baseline.results
    found = baseline.get("metrics")
    if not isinstance(found, Mapping):
        raise BadOption("not the JSON of a report", at="baseline", expected="metrics")
    return found


def _judged(
    report: Report,
    gate: Gate,
    at: str,
    before: Mapping[str, Any] | None,
    comparison: Mapping[str, Any] | None,
) -> Iterator[Gated]:
    parts = parse(gate.metric, f"{at}.metric")
    if parts[0].text == "findings":
        yield _of_findings(report, gate, parts[1].matches)
        return
    root = dict(report.results)
    if parts[0].text == "comparison":
        if comparison is None:
            raise BadOption("there is no comparison", at=at, expected="a baseline's state")
        root = {"comparison": comparison}
    if gate.changes and before is None:
        raise BadOption("a change needs a baseline", at=at, expected="a baseline")
    found = [each for each in find(root, parts, f"{at}.metric") if _has_rows(each, gate)]
    name = gate.name or gate.metric
    if not found:
        yield Gated(name, _untold(report), f"{gate.metric} leads to nothing in this report.")
        return
    judged = [
        one for each in found for one in _of_value(each, gate, at, len(found), before, comparison)
    ]
    if len(found) == 1:
        yield from (dataclasses.replace(each, name=name) for each in judged)
        return
    yield from _summed_up(judged, name, gate)


def _untold(report: Report) -> Verdict:
    """Of what is not defined. Where no row could be used, nothing may pass."""
    return "inconclusive" if report.rows else "fail"


def _has_rows(found: Found, gate: Gate) -> bool:
    count = found.beside.get("count")
    return not is_number(count) or bool(count >= gate.least_rows)


def _summed_up(judged: list[Gated], name: str, gate: Gate) -> Iterator[Gated]:
    bad = [each for each in judged if each.verdict != "pass"]
    bad.sort(key=lambda each: ("fail", "inconclusive", "warn").index(each.verdict))
    for each in bad[:_MOST_LISTED]:
        own = f"{gate.name}: {each.name}" if gate.name else each.name
        yield dataclasses.replace(each, name=own[:400])
    if len(bad) > _MOST_LISTED:
        rest = bad[_MOST_LISTED:]
        sentence = f"{len(rest)} more of {gate.metric} do not pass."
        yield Gated(name, rest[0].verdict, sentence)
    passing = len(judged) - len(bad)
    if passing:
        yield Gated(name, "pass", f"{gate.metric}: {passing} of {len(judged)} checks pass.")


def _of_value(
    found: Found,
    gate: Gate,
    at: str,
    among: int,
    before: Mapping[str, Any] | None,
    comparison: Mapping[str, Any] | None,
    untold: Verdict,
) -> Iterator[Gated]:
    path, value = found.path, found.value
    if value is None:
        yield Gated(path, untold, f"{path} is not defined for these rows.")
        return
    if not is_number(value):
        inside = ", ".join(list(value)[:10]) if isinstance(value, Mapping) else "a number"
        raise BadOption(
            f"{path[:200]!r} is no number", at=f"{at}.metric", expected=inside, got=str(value)[:100]
        )
    if gate.bounds:
        own = interval_of(found)
        if gate.statistical and own is None and not gate.changes:
            raise BadOption(
                f"{path[:200]!r} has no interval", at=f"{at}.statistical", expected="false"
            )
        chance = Around.of(value, own, among) if gate.statistical and own is not None else None
        yield in_bounds(gate, path, value, chance)
    for name in gate.changes:
        yield _of_change(found, gate, name, at, among, before or {}, comparison)


def _of_change(
    found: Found,
    gate: Gate,
    name: str,
    at: str,
    among: int,
    before: Mapping[str, Any],
    comparison: Mapping[str, Any] | None,
) -> Gated:
    path = found.path
    try:
        (old,) = find(before, parse(path, at), f"{at}.metric")
    except BadOption:
        return Gated(path, "inconclusive", f"{path} is not in the baseline.", found.value)
    if not is_number(old.value):
        return Gated(path, "inconclusive", f"{path} is not defined in the baseline.", found.value)
    difference = None
    if gate.statistical:
        difference = _difference(found, old, among, comparison)
        if difference is None:
            raise BadOption(
                f"{path[:200]!r} has no interval", at=f"{at}.statistical", expected="false"
            )
    return changed(gate, name, path, found.value, old.value, difference)


def _difference(
    found: Found, old: Found, among: int, comparison: Mapping[str, Any] | None
) -> Around | None:
    """From the comparison, which may know the same rows; else from the two intervals."""
    compared = difference_in(comparison, found.names)
    if compared is not None and compared["interval"] is not None:
        return Around.of(compared["difference"], compared["interval"], among)
    own, other = interval_of(found), interval_of(old)
    if own is None or other is None:
        return None
    change = found.value - old.value
    half = (((own[1] - own[0]) / 2) ** 2 + ((other[1] - other[0]) / 2) ** 2) ** 0.5
    return Around.of(change, [change - half, change + half], among)


def _of_findings(report: Report, gate: Gate, matches: Any) -> Gated:
    least = _SEVERITIES.index(gate.severity or "info")
    found = [
        each
        for each in report.findings
        if matches(each.code) and _SEVERITIES.index(each.severity) >= least
    ]
    name = gate.name or gate.metric
    rows = sum(1 if each.count is None else each.count for each in found)
    most = 0.0 if gate.max is None and gate.warn_max is None else gate.max
    if most is not None and rows > most:
        first = found[0].sentence
        more = f" ({len(found) - 1} more findings.)" if len(found) > 1 else ""
        return Gated(name, gate.on_fail, f"{first}{more}", rows, most)
    if gate.warn_max is not None and rows > gate.warn_max:
        return Gated(name, "warn", found[0].sentence, rows, gate.warn_max)
    return Gated(name, "pass", f"{gate.metric}: {len(found)} findings.", rows, most)
