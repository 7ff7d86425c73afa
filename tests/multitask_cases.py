"""Reads the multi-task cases: reference values that lossd's code did not compute."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lossd.objectives.multitask import METHODS, Balanced, Tasks, balance

FOLDER = Path(__file__).parent / "objectives/cases"


@functools.cache
def cases_of(method: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{method}.json").read_text())
    return found


def all_cases() -> Iterator[tuple[str, int]]:
    for method in METHODS:
        yield from ((method, i) for i in range(len(cases_of(method))))


def array(call: dict[str, Any], name: str) -> Any:
    return np.array(call[name], dtype=np.float64) if name in call else None


def tasks_of(call: dict[str, Any], *, by_gramian: bool = False) -> Tasks:
    rows, losses, norms = (array(call, name) for name in ("gradients", "losses", "norms"))
    if by_gramian and rows is not None:
        return Tasks(losses=losses, gramian=rows @ rows.T, norms=norms)
    return Tasks(losses=losses, gradients=rows, norms=norms)


def answers(method: str, calls: list[dict[str, Any]], **how: bool) -> Iterator[Balanced]:
    """The answers of one call after another, the state going through JSON in between."""
    state = None
    for call in calls:
        given = call.get("seed"), call.get("permutation")
        answer = balance(method, tasks_of(call, **how), call["params"], state, *given)
        state = None if answer.state is None else json.loads(json.dumps(answer.state))
        yield answer
