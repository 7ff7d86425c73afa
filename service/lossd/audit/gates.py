"""Gates: what a report must say for a pipeline to go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossd.audit.report import Report


@dataclass(frozen=True, slots=True)
class Gates:
    """Gates, in the order that they were written."""


def read_gates(text: str, kind: Literal["toml", "yaml"]) -> Gates:
    """Gates from a file's text. Raises `BadOption` at the place, `UnreadableBody`."""
    raise NotImplementedError


def gates_of(values: Mapping[str, Any]) -> Gates:
    """Gates by the paths of their metrics. Raises `BadOption` at the place."""
    raise NotImplementedError


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
    raise NotImplementedError
