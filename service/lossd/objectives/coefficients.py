"""Weights and parameters of terms as a body says them: numbers, schedules, controllers."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossd.errors import BadOption, BadParams, UnknownRoute
from lossd.objectives.controllers import CONTROLLERS, Controller, LossRatio, LossRatioState
from lossd.objectives.schedules import SCHEDULES, find, read_params

_SHORT = {"from": "start", "to": "end"}


@dataclass(frozen=True, slots=True)
class Follower:
    """A weight that a controller gives, of the term's value and that of the term `of`."""

    controller: Controller
    params: LossRatio
    state: LossRatioState
    of: str


Weight = float | Follower


def read_weight(said: Any, step: int | None, others: list[str]) -> Weight:
    """A term's weight at a step. `others` are the names of the other terms.

    Raises `BadOption` and `BadParams`; places are below `weight`.
    """
    if isinstance(said, dict):
        name = said.get("schedule")
        if isinstance(name, str) and name in CONTROLLERS:
            return _follower(CONTROLLERS[name], said, others)
        return scheduled(said, step)
    weight = _number(said)
    if weight is None:
        raise BadOption(
            "not a weight", expected="a number, or an object with schedule", got=repr(said)[:100]
        )
    return weight


def _number(said: Any) -> float | None:
    """A finite float64; None if it is none."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    try:
        number = float(said)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def scheduled(said: Mapping[str, Any], step: int | None) -> float:
    """The coefficient of `{"schedule": NAME, ...its parameters}` at a step.

    `from` and `to` stand for `start` and `end`. Raises `BadOption` and `BadParams`.
    """
    name = said.get("schedule")
    if not isinstance(name, str) or name not in SCHEDULES:
        raise _unknown(name)
    if step is None:
        raise BadOption(
            "a schedule needs the step that the objective is at",
            at="schedule",
            expected="the field step beside terms",
            got="no step",
        )
    params = {key: x for key, x in said.items() if key != "schedule" and key not in _SHORT}
    for short, field in _SHORT.items():
        if short in said and field in said:
            raise BadOption(f"both {short} and {field}", at=short, expected="one of them")
        if short in said:
            params[field] = said[short]
    schedule = find(name)
    try:
        at = read_params(schedule.params, params, "")
    except BadParams as err:
        for short, field in _SHORT.items():
            if short in said and err.at == field:
                err.at = short
        raise
    found = float(schedule.fn(step, at))
    if not math.isfinite(found):
        raise BadOption(
            f"the schedule is not finite at step {step}",
            at="schedule",
            expected="a finite number",
            got=str(found),
        )
    return found


def _unknown(name: Any) -> BadOption:
    """The error that no schedule is so named, with the nearest."""
    if isinstance(name, str) and name in CONTROLLERS:
        return BadOption(
            f"{name} follows values of terms, so it gives weights only",
            at="schedule",
            expected=", ".join(SCHEDULES),
            got=name,
        )
    try:
        find(name if isinstance(name, str) else repr(name)[:100])
    except UnknownRoute as err:
        near = difflib.get_close_matches(str(name), CONTROLLERS, n=1, cutoff=0.7)
        expected = near[0] if near else err.expected
        return BadOption(err.message, at="schedule", expected=expected, got=err.got)
    raise AssertionError(name)


def _follower(controller: Controller, said: Mapping[str, Any], others: list[str]) -> Follower:
    params = {key: x for key, x in said.items() if key not in ("schedule", "of", "state")}
    of = said.get("of")
    if not isinstance(of, str) or of not in others:
        raise BadOption(
            "no other term is so named",
            at="of",
            expected=f"one of {', '.join(others)}"[:200],
            got=repr(of)[:100],
        )
    return Follower(
        controller,
        read_params(controller.params, params, ""),
        read_params(controller.state, said.get("state") or {}, "state"),
        of,
    )
