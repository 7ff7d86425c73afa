"""Schedules: pure functions from a step, counted from 0, to a coefficient."""

import difflib
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lossd.errors import BadOption, BadParams, UnknownRoute
from lossd.schema.options import first_fault

MOST_STEPS = 100_000  # of one curve
LAST_STEP = 2**53  # above it a step has no float64 of its own


class ScheduleParams(BaseModel):
    """Base of every schedule's parameters: closed, immutable, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Params = TypeVar("Params", bound=ScheduleParams)


class Constant(ScheduleParams):
    """Parameters of `constant`."""

    value: float = Field(description="The coefficient at every step.")


class Between(ScheduleParams):
    """Parameters of what goes from one coefficient to another."""

    start: float = Field(description="The coefficient at step 0.")
    end: float = Field(description="The coefficient from step `steps` on.")
    steps: int = Field(ge=1, le=LAST_STEP, description="How many steps the way takes.")


class Polynomial(Between):
    """Parameters of `polynomial`."""

    power: float = Field(2.0, gt=0, le=100, description="1 is linear; more is fast at first.")


class Restarts(ScheduleParams):
    """Parameters of `cosine_restarts`."""

    start: float = Field(description="The coefficient as a cycle begins.")
    end: float = Field(description="What it comes near as a cycle ends.")
    steps: int = Field(ge=1, le=LAST_STEP, description="Steps of the first cycle.")
    factor: int = Field(1, ge=1, le=100, description="How many times longer each next cycle is.")


class Exponential(ScheduleParams):
    """Parameters of `exponential`."""

    start: float = Field(description="The coefficient at step 0.")
    rate: float = Field(gt=0, le=1e6, description="What it is multiplied by in `steps` steps.")
    steps: int = Field(1, ge=1, le=LAST_STEP, description="How many steps that takes.")


class Step(Exponential):
    """Parameters of `step`."""


class Sigmoid(ScheduleParams):
    """Parameters of `sigmoid_ramp_up`."""

    end: float = Field(description="The coefficient from step `steps` on.")
    steps: int = Field(ge=1, le=LAST_STEP, description="How many steps the way up takes.")


class Cyclic(ScheduleParams):
    """Parameters of `cyclic`."""

    low: float = Field(description="The coefficient as a cycle begins.")
    high: float = Field(description="The coefficient at its top.")
    up: int = Field(ge=1, le=LAST_STEP, description="Steps from low to high.")
    down: int = Field(ge=1, le=LAST_STEP, description="Steps from high to low.")


class Piecewise(ScheduleParams):
    """Parameters of `piecewise`."""

    boundaries: list[int] = Field(
        max_length=1000, description="Steps at which the next value begins, ascending."
    )
    values: list[float] = Field(description="One more than there are boundaries.")

    @model_validator(mode="after")
    def check(self) -> Self:
        """Raises `ValueError` where the lists do not fit."""
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError("there must be one more value than boundaries")
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError("boundaries must ascend")
        return self


class WarmUp(Between):
    """Parameters of `warm_up_cosine`."""

    peak: float = Field(description="The coefficient as the warm-up ends.")
    warm_up: int = Field(ge=0, le=LAST_STEP, description="Steps of it; of `steps` a part.")

    @model_validator(mode="after")
    def check(self) -> Self:
        """Raises `ValueError` where the warm-up is longer than the whole."""
        if self.warm_up >= self.steps:
            raise ValueError("warm_up must be less than steps")
        return self


def _constant(step: int, at: Constant) -> float:
    return at.value


def _way(step: int, steps: int) -> float:
    return min(step, steps) / steps


def _mix(start: float, end: float, share: float) -> float:
    """The exact ends, at shares of 0 and 1."""
    return (1.0 - share) * start + share * end


def _linear(step: int, at: Between) -> float:
    return _mix(at.start, at.end, _way(step, at.steps))


def _cosine(step: int, at: Between) -> float:
    return _mix(at.start, at.end, 0.5 * (1.0 - math.cos(math.pi * _way(step, at.steps))))


def _polynomial(step: int, at: Polynomial) -> float:
    left: float = (1.0 - _way(step, at.steps)) ** at.power
    return _mix(at.end, at.start, left)


def _cosine_restarts(step: int, at: Restarts) -> float:
    steps = at.steps
    if at.factor == 1:
        step %= steps
    while step >= steps:
        step -= steps
        steps *= at.factor
    return _mix(at.start, at.end, 0.5 * (1.0 - math.cos(math.pi * step / steps)))


def _power(start: float, rate: float, exponent: float) -> float:
    try:
        return start * math.pow(rate, exponent)
    except OverflowError:
        return math.copysign(math.inf, start) if start else 0.0


def _exponential(step: int, at: Exponential) -> float:
    return _power(at.start, at.rate, step / at.steps)


def _step(step: int, at: Step) -> float:
    return _power(at.start, at.rate, step // at.steps)


def _sigmoid_ramp_up(step: int, at: Sigmoid) -> float:
    return at.end * math.exp(-5.0 * (1.0 - _way(step, at.steps)) ** 2)


def _cyclic(step: int, at: Cyclic) -> float:
    place = step % (at.up + at.down)
    share = place / at.up if place <= at.up else 1.0 - (place - at.up) / at.down
    return _mix(at.low, at.high, share)


def _piecewise(step: int, at: Piecewise) -> float:
    return at.values[bisect_right(at.boundaries, step)]


def _warm_up_cosine(step: int, at: WarmUp) -> float:
    if step < at.warm_up:
        return _mix(at.start, at.peak, step / at.warm_up)
    share = _way(step - at.warm_up, at.steps - at.warm_up)
    return _mix(at.peak, at.end, 0.5 * (1.0 - math.cos(math.pi * share)))


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: its function of a step and its parameters, and what it is."""

    name: str
    params: type[ScheduleParams]
    fn: Callable[[int, Any], float]
    formula: str
    summary: str
    source: str


def _all_of(*schedules: Schedule) -> Mapping[str, Schedule]:
    return MappingProxyType({each.name: each for each in schedules})


_T = r",\quad u = \min(t / T, 1)"
SCHEDULES = _all_of(
    Schedule("constant", Constant, _constant, "c", "The same at every step.", "-"),
    Schedule("linear", Between, _linear, r"(1 - u) a + u b" + _T, "A straight line.", "-"),
    Schedule(
        "cosine", Between, _cosine, r"b + \tfrac12 (a - b)(1 + \cos \pi u)" + _T,
        "Half a cosine: slow at both ends.", "Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5",
    ),
    Schedule(
        "cosine_restarts", Restarts, _cosine_restarts,
        r"b + \tfrac12 (a - b)(1 + \cos \pi t_i / T_i)",
        "Half a cosine again and again, each as many times longer as factor says.",
        "Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5",
    ),
    Schedule("exponential", Exponential, _exponential, r"a \, r^{t / T}", "Decay or growth.", "-"),
    Schedule("step", Step, _step, r"a \, r^{\lfloor t / T \rfloor}", "Decay in steps.", "-"),
    Schedule(
        "polynomial", Polynomial, _polynomial, r"b + (a - b)(1 - u)^p" + _T,
        "A power of what is left of the way.", "-",
    ),
    Schedule(
        "sigmoid_ramp_up", Sigmoid, _sigmoid_ramp_up, r"b \, e^{-5 (1 - u)^2}" + _T,
        "From almost nothing, for consistency terms and annealed divergences.",
        "Laine and Aila 2017, arXiv:1610.02242, appendix A",
    ),
    Schedule(
        "cyclic", Cyclic, _cyclic, r"\text{low} + (\text{high} - \text{low}) \, s(t)",
        "Up and down again, in straight lines.",
        "Smith 2017, arXiv:1506.01186; annealing in cycles: Fu et al. 2019, arXiv:1903.10145",
    ),
    Schedule(
        "piecewise", Piecewise, _piecewise, r"v_k,\quad b_{k-1} \le t < b_k",
        "One value after another.", "-",
    ),
    Schedule(
        "warm_up_cosine", WarmUp, _warm_up_cosine,
        r"\text{linear to the peak, then } b + \tfrac12 (p - b)(1 + \cos \pi u)",
        "A straight way up, then half a cosine.", "-",
    ),
)  # fmt: skip


def find(name: str) -> Schedule:
    """Look a schedule up. Raises `UnknownRoute`, with the nearest name if one is near."""
    if name in SCHEDULES:
        return SCHEDULES[name]
    near = difflib.get_close_matches(name, SCHEDULES, n=1, cutoff=0.5)
    raise UnknownRoute(
        f"no schedule is named {name[:100]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        at="schedule",
        expected=near[0] if near else ", ".join(SCHEDULES),
        got=name[:100],
    )


def check_step(step: Any, at: str) -> None:
    """Raises `BadOption` where something is no step."""
    if type(step) is not int or not 0 <= step <= LAST_STEP:
        expected = "an integer from 0 to 2^53"
        raise BadOption("not a step", at=at, expected=expected, got=repr(step)[:50])


def describe(schedule: Schedule) -> dict[str, Any]:
    """Everything that a schedule declares."""
    return {
        "name": schedule.name,
        "summary": schedule.summary,
        "formula": schedule.formula,
        "source": schedule.source,
        "params": schedule.params.model_json_schema(),
    }


def read_params(model: type[Params], params: Any, at: str) -> Params:
    """Check the parameters that stand at a place. Raises `BadParams`."""
    if not isinstance(params, dict):
        raise BadParams("not an object", at=at, expected="an object", got=repr(params)[:100])
    try:
        return model.model_validate(params)
    except ValidationError as err:
        message, place, expected, got = first_fault(err, model)
        where = f"{at}.{place}".strip(".")
        raise BadParams(message, at=where, expected=expected, got=got) from err


def curve(name: str, params: Any, steps: Any) -> dict[str, Any]:
    """The coefficients at some steps. Raises `UnknownRoute`, `BadParams`, `BadOption`."""
    schedule = find(name)
    at = read_params(schedule.params, params, "params")
    if not isinstance(steps, list) or len(steps) > MOST_STEPS:
        raise BadOption("not a list of steps", at="steps", expected=f"at most {MOST_STEPS}")
    for i, step in enumerate(steps):
        check_step(step, f"steps[{i}]")
    return {
        "schedule": name,
        "params": at.model_dump(mode="json"),
        "steps": steps,
        "values": [schedule.fn(step, at) for step in steps],
    }
