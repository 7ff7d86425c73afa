"""What an audit found: JSON values, from which every other form is made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lossd.audit.metrics import Finding, Whole
from lossd.audit.state import State
from lossd.errors import BadOption

Verdict = Literal["pass", "warn", "fail", "inconclusive"]
_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Gated:
    """What became of one gate: its verdict, and why, as a sentence."""

    name: str
    verdict: Verdict
    sentence: str
    value: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The results of the metrics by their names, findings, gates and a comparison.

    `setup` is what was asked for; `rows` how many could be used.
    """

    setup: Mapping[str, Any]
    classes: int
    rows: int
    results: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]
    gates: tuple[Gated, ...] = ()
    comparison: Mapping[str, Any] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)  # of the run: what may differ each time

    @property
    def verdict(self) -> Verdict:
        """The worst of the gates; `pass` where there are none."""
        for each in ("fail", "inconclusive", "warn"):
            if any(gate.verdict == each for gate in self.gates):
                return each
        return "pass"

    def as_json(self) -> dict[str, Any]:
        """Strict JSON: no NaN, no infinity. All of it but `notes` is the same for the same rows."""
        return {
            "lossd_audit": 1,
            "verdict": self.verdict,
            "rows": self.rows,
            "classes": self.classes,
            "setup": dict(self.setup),
            "findings": [asdict(each) for each in self.findings],
            "gates": [asdict(each) for each in self.gates],
            "metrics": {name: dict(each) for name, each in self.results.items()},
            "comparison": self.comparison,
            "notes": dict(self.notes),
        }

    def to_json(self) -> str:
        """As text, keys in order."""
        return json.dumps(self.as_json(), allow_nan=False, indent=1, ensure_ascii=False)


def report_of(state: State) -> Report:
    """The report of all rows that a state was fed. Raises `BadOption` if there were none."""
    if state.classes is None or not state.pieces:
        raise BadOption("there are no rows to audit", at="rows", expected="1 or more", got="0")
    whole = Whole(state.setup, state.classes, state.rows)
    results: dict[str, Mapping[str, Any]] = {}
    findings: list[Finding] = []
    for metric in state.metrics:
        results[metric.name] = metric.finish(state.pieces[metric.name], whole)
        findings += metric.findings(results[metric.name], whole)
    findings.sort(key=lambda each: (_ORDER[each.severity], each.code))
    return Report(
        state.setup.model_dump(mode="json"), state.classes, state.rows, results, tuple(findings)
    )
