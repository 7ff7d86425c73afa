"""Reads the cases of classifiers: reference values that lossd's code did not compute."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lossd.audit import Audit

FOLDER = Path(__file__).parent / "cases"


def cases_of(metric: str) -> list[dict[str, Any]]:
    """The cases of one metric."""
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{metric}.json").read_text())
    return found


def result_of(metric: str, case: dict[str, Any], **options: Any) -> Any:
    """What an audit finds of a case."""
    with Audit(metrics=(metric,), scores=case["scores"], threads=1, **options) as audit:
        audit.add(np.array(case["rows"]), np.array(case["labels"]))
        return audit.report().results[metric]


def at(result: Any, path: str) -> Any:
    """A value by the names that lead to it."""
    for name in path.split("."):
        result = result[name]
    return result
