"""One gate, judged by a report."""

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lossd.audit.gating.gate import Gate
from lossd.audit.gating.paths import Found, Part, find, parse
from lossd.audit.gating.verdicts import (
    Around,
    changed,
    difference_in,
    in_bounds,
    interval_of,
    is_compared,
    is_number,
    may_have_interval,
    share_in,
)
from lossd.audit.metrics import METRICS
from lossd.audit.report import Gated, Report, Verdict
from lossd.errors import BadOption

_MOST_LISTED = 100  # of what a path with stars leads to and does not pass
_SEVERITIES = ("info", "warning", "error")
_WORST_FIRST = ("fail", "inconclusive", "warn")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where values are looked up: a report, a baseline's metrics, a comparison."""

    report: Report
    before: Mapping[str, Any] | None
    comparison: Mapping[str, Any] | None

    @property
    def untold(self) -> Verdict:
        """Of what is not defined. Where no row could be used, nothing may pass."""
        return "inconclusive" if self.report.rows else "fail"


def judged(gate: Gate, at: str, sources: Sources) -> Iterator[Gated]:
    """What becomes of a gate; more than one where its path has stars. Raises `BadOption`."""
    parts = parse(gate.metric, f"{at}.metric")
    if parts[0].text == "findings":
        _check_code(parts[1], sources.report, at)
        yield _of_findings(sources.report, gate, parts[1].matches)
        return
    root = dict(sources.report.results)
    if parts[0].text == "comparison":
        if sources.comparison is None:
            raise BadOption("there is no comparison", at=at, expected="a baseline's state")
        root = {"comparison": sources.comparison}
    if gate.changes and sources.before is None:
        raise BadOption("a change needs a baseline", at=at, expected="a baseline")
    found = [each for each in find(root, parts, f"{at}.metric") if _has_rows(each, gate)]
    name = gate.name or gate.metric
    if not found:
        sentence = f"{gate.metric} leads to nothing in this report."
        yield Gated(name, sources.untold, sentence)
        return
    checks = [one for each in found for one in _of_value(each, gate, at, len(found), sources)]
    if len(found) == 1:
        yield from (dataclasses.replace(each, name=name) for each in checks)
        return
    yield from _summed_up(checks, name, gate)


def _has_rows(found: Found, gate: Gate) -> bool:
    count = found.beside.get("count")
    return not is_number(count) or bool(count >= gate.least_rows)


def _summed_up(checks: list[Gated], name: str, gate: Gate) -> Iterator[Gated]:
    bad = [each for each in checks if each.verdict != "pass"]
    bad.sort(key=lambda each: _WORST_FIRST.index(each.verdict))
    for each in bad[:_MOST_LISTED]:
        own = f"{gate.name}: {each.name}" if gate.name else each.name
        yield dataclasses.replace(each, name=own[:400])
    if len(bad) > _MOST_LISTED:
        rest = bad[_MOST_LISTED:]
        sentence = f"{len(rest)} more of {gate.metric} do not pass."
        yield Gated(name, rest[0].verdict, sentence)
    passing = len(checks) - len(bad)
    if passing:
        sentence = f"{gate.metric}: {passing} of {len(checks)} checks pass."
        yield Gated(name, "pass", sentence)


def _of_value(found: Found, gate: Gate, at: str, among: int, sources: Sources) -> Iterator[Gated]:
    path, value = found.path, found.value
    if value is None:
        yield _of_nothing(found, gate, sources)
        return
    if not is_number(value):
        inside = ", ".join(list(value)[:10]) if isinstance(value, Mapping) else "a number"
        raise BadOption(
            f"{path[:200]!r} is no number", at=f"{at}.metric", expected=inside, got=str(value)[:100]
        )
    if gate.bounds:
        own = interval_of(found)
        if gate.statistical and own is None:
            yield _without_interval(found, at, may_have_interval(found))
            return
        chance = None
        if gate.statistical and own is not None:
            share = share_in(found, sources.report.rows)
            chance = Around.of_share(*share, among) if share else Around.of(value, own, among)
        yield in_bounds(gate, path, value, chance)
    for name in gate.changes:
        yield _of_change(found, gate, name, at, among, sources)


def _of_change(found: Found, gate: Gate, name: str, at: str, among: int, sources: Sources) -> Gated:
    path = found.path
    try:
        (old,) = find(sources.before or {}, parse(path, at), f"{at}.metric")
    except BadOption:
        return Gated(path, "inconclusive", f"{path} is not in the baseline.", found.value)
    if not is_number(old.value):
        return Gated(path, "inconclusive", f"{path} is not defined in the baseline.", found.value)
    difference = None
    if gate.statistical:
        difference = _difference(found, old, among, sources.comparison)
        if difference is None:
            known = may_have_interval(found) or is_compared(found.names)
            return _without_interval(found, at, known)
    return changed(gate, name, path, found.value, old.value, difference)


def _of_nothing(found: Found, gate: Gate, sources: Sources) -> Gated:
    """Of a value that is not defined; an infinite loss is above every bound."""
    path, infinite = found.path, found.beside.get("infinite")
    is_loss = found.names[0] == "loss" and found.names[-1] in ("mean", "maximum")
    bounded = gate.max is not None or any("rise" in name for name in gate.changes)
    if is_loss and is_number(infinite) and infinite and bounded:
        sentence = f"{path} is infinite: so is the loss of {infinite:g} rows."
        return Gated(path, gate.on_fail, sentence)
    return Gated(path, sources.untold, f"{path} is not defined for these rows.")


def _without_interval(found: Found, at: str, is_known: bool) -> Gated:
    """Inconclusive where more rows would have an interval. Raises `BadOption` where none would."""
    path = found.path
    if not is_known:
        raise BadOption(f"{path[:200]!r} has no interval", at=f"{at}.statistical", expected="false")
    sentence = f"{path} has no interval for these rows: too few to tell."
    return Gated(path, "inconclusive", sentence, found.value)


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


def _check_code(part: Part, report: Report, at: str) -> None:
    """Raises `BadOption` where nothing that was measured could be found under such a code."""
    metrics = {code: each.name for each in METRICS.values() for code in each.codes}
    matching = {code: name for code, name in metrics.items() if part.matches(code)}
    if not matching:
        near = difflib.get_close_matches(part.text, metrics, n=1, cutoff=0.5)
        raise BadOption(
            "no finding has such a code",
            at=f"{at}.metric",
            expected=near[0] if near else "a code of a metric's findings, or a star",
            got=part.text[:100],
        )
    if not {*matching.values()} & report.results.keys():
        raise BadOption(
            f"{part.text[:100]!r} is found by a metric that was not measured",
            at=f"{at}.metric",
            expected=f"the metric {next(iter(matching.values()))}",
            got=", ".join(report.results)[:200],
        )


def _of_findings(report: Report, gate: Gate, matches: Callable[[str], bool]) -> Gated:
    """By how many rows findings are about; one that does not say counts as one."""
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
