"""How a value is judged: a verdict and a sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeGuard

from lossd.audit.comparing.differences import POWER
from lossd.audit.gating.gate import Gate
from lossd.audit.gating.paths import Found
from lossd.audit.intervals import clopper_pearson, z_of
from lossd.audit.report import Gated, Verdict

LEVEL = 0.95  # of one-sided statements


@dataclass(frozen=True, slots=True)
class Around:
    """A number and what is known of it: bounds that it is beyond one time of twenty each."""

    value: float
    low: float
    high: float
    error: float
    z: float

    @classmethod
    def of(cls, value: float, interval: Sequence[float], among: int) -> "Around":
        """From a two-sided interval at 95 %. `among` numbers are judged as one (Bonferroni)."""
        middle, error = sum(interval) / 2, (interval[1] - interval[0]) / 2 / z_of()
        z = NormalDist().inv_cdf(1 - (1 - LEVEL) / among)
        low, high = middle - z * error, middle + z * error
        return cls(value, min(low, value), max(high, value), error, z)

    @classmethod
    def of_share(cls, hits: int, count: int, among: int) -> "Around":
        """Of so many of a count, at least one: exact, also for few rows and many numbers."""
        tail = (1 - LEVEL) / among
        found = clopper_pearson(hits, count, 1 - 2 * tail)
        assert found is not None
        share = hits / count
        error = math.sqrt(share * (1 - share) / count)
        low, high = found
        return cls(share, low, high, error, NormalDist().inv_cdf(1 - tail))


def share_in(found: Found, rows: int) -> tuple[int, int] | None:
    """How many of how many a value is, of an audit of so many rows; None if it is no such share."""
    name, beside = found.names[-1], found.beside
    if name == "value" and is_number(beside.get("correct")):
        return int(beside["correct"]), rows
    if name == "accuracy" and is_number(beside.get("count")) and beside["count"]:
        return round(found.value * beside["count"]), int(beside["count"])
    return None


def may_have_interval(found: Found) -> bool:
    """Whether an interval stands beside a value, of more rows if not of these."""
    name = found.names[-1]
    keys = {f"{name}_interval", *(["interval"] if name in ("value", "mean") else [])}
    return bool(keys & {*found.beside})


def interval_of(found: Found) -> list[float] | None:
    """The interval that stands beside a value; None if none does."""
    name = found.names[-1]
    beside = found.beside.get(f"{name}_interval")
    if beside is None and name in ("value", "mean"):
        beside = found.beside.get("interval")
    return list(beside) if isinstance(beside, list | tuple) else None


def shown(x: float) -> str:
    """A number as sentences have it."""
    return f"{x:.6g}"


def in_bounds(gate: Gate, path: str, value: float, around: Around | None) -> Gated:
    """Whether a value is where it must be; `around` where that is a matter of chance."""
    interval = None if around is None else (around.low, around.high)
    for verdict, low, high in (
        (_failing(gate), gate.min, gate.max),
        ("warn", gate.warn_min, gate.warn_max),
    ):
        limit, side = _crossed(value, low, high)
        if limit is None:
            continue
        what = f"{path} is {shown(value)}, {side} {shown(limit)}"
        if around is not None and around.low <= limit <= around.high:
            sentence = (
                f"{what}, but its interval, {shown(around.low)} to {shown(around.high)}, reaches"
                " the limit: too few rows to tell."
            )
            told: Verdict = "warn" if verdict == "warn" else "inconclusive"
            return Gated(path, told, sentence, value, limit, interval)
        return Gated(path, verdict, f"{what}.", value, limit, interval)
    limit = gate.min if gate.min is not None else gate.max
    return Gated(path, "pass", f"{path} is {shown(value)}, within bounds.", value, limit, interval)


def _failing(gate: Gate) -> Verdict:
    return gate.on_fail


def _crossed(value: float, low: float | None, high: float | None) -> tuple[float | None, str]:
    if low is not None and value < low - _slack(low):
        return low, "below"
    if high is not None and value > high + _slack(high):
        return high, "above"
    return None, ""


def _slack(limit: float) -> float:
    """What rounding of a decimal may make of it."""
    return 1e-12 * max(1.0, abs(limit))


def changed(
    gate: Gate, name: str, path: str, value: float, before: float, difference: Around | None
) -> Gated:
    """Whether a value changed by no more than is allowed.

    With `difference`, it fails only where the change is beyond what is allowed by more than chance
    explains, and is inconclusive where so few rows could not show such a change.
    """
    given: float = getattr(gate, name)
    allowed = given * abs(before) if "relative" in name else given
    sign = -1.0 if name.endswith("drop") else 1.0
    limit = before + sign * allowed
    word = "drop" if sign < 0 else "rise"
    if difference is None:
        change = sign * (value - before)
        beyond = change > allowed + _slack(before)
        verdict: Verdict = gate.on_fail if beyond else "pass"
        relation = "more" if beyond else "no more"
        sentence = (
            f"{path} went from {shown(before)} to {shown(value)}, {relation} than the allowed"
            f" {word} of {shown(allowed)}."
        )
        return Gated(path, verdict, sentence, value, limit)
    return _tested(gate, path, value, limit, sign, allowed, difference)


def _tested(
    gate: Gate,
    path: str,
    value: float,
    limit: float,
    sign: float,
    allowed: float,
    difference: Around,
) -> Gated:
    word = "drop" if sign < 0 else "rise"
    ends = sorted((sign * difference.low, sign * difference.high))  # of how far it went that way
    detectable = (difference.z + NormalDist().inv_cdf(POWER)) * difference.error
    known = (
        f"{path} changed by {shown(difference.value)} ({shown(difference.low)} to"
        f" {shown(difference.high)})"
    )
    verdict: Verdict
    if ends[0] > allowed + _slack(limit):
        verdict = gate.on_fail
        why = f"a {word} beyond the allowed {shown(allowed)} is shown at 95 %"
    elif ends[1] <= allowed + _slack(limit):
        verdict, why = "pass", f"a {word} beyond the allowed {shown(allowed)} is ruled out at 95 %"
    elif detectable > allowed:
        verdict = "warn" if gate.on_fail == "warn" else "inconclusive"
        why = (
            f"too few rows to tell: only a {word} of {shown(detectable)} or more would show, and"
            f" {shown(allowed)} is allowed"
        )
    else:
        verdict, why = "pass", f"no {word} beyond the allowed {shown(allowed)} is shown"
    interval = (difference.low, difference.high)
    return Gated(path, verdict, f"{known}: {why}.", value, limit, interval)


def is_number(x: Any) -> TypeGuard[float]:
    """Whether it is a finite number, and no truth value."""
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def is_compared(names: Sequence[str]) -> bool:
    """Whether comparisons say something of the value at a path."""
    return tuple(names) in _COMPARED


_COMPARED = {
    ("accuracy", "top_1", "value"): "accuracy",
    ("loss", "mean"): "loss",
    ("calibration", "mean_confidence"): "confidence",
}


def difference_in(comparison: Mapping[str, Any] | None, names: Sequence[str]) -> Any:
    """What a comparison says of the value at a path; None if it says nothing of it."""
    if comparison is None:
        return None
    if tuple(names) in _COMPARED:
        return comparison.get(_COMPARED[tuple(names)])
    match list(names):
        case ["per_class", "classes", name, ("accuracy" | "mean_loss") as what]:
            group, key = comparison.get("per_class"), "class"
        case ["per_slice", "columns", column, "values", name, ("accuracy" | "mean_loss") as what]:
            group, key = (comparison.get("slices") or {}).get(column), "value"
        case _:
            return None
    listed = [] if group is None else group["listed"]
    return next((each[what] for each in listed if str(each[key]) == name), None)
