"""Gates: what a report must say for a pipeline to go on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossd.audit.gating.gate import Gate, gate_of
from lossd.audit.gating.judging import Sources, judged
from lossd.audit.gating.reading import Kind, values_of
from lossd.audit.report import Report
from lossd.errors import BadOption

MOST_GATES = 1_000


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
    sources = Sources(report, _metrics(baseline), comparison)
    found = [each for at, gate in gates.gates for each in judged(gate, at, sources)]
    return dataclasses.replace(report, gates=tuple(found), comparison=comparison)


def _metrics(baseline: Report | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if baseline is None or isinstance(baseline, Report):
        return None if baseline is None else baseline.results
    found = baseline.get("metrics")
    if not isinstance(found, Mapping):
        raise BadOption("not the JSON of a report", at="baseline", expected="metrics")
    return found
