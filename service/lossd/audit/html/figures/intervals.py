"""Names under one another, each with an estimate and its interval on one axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._markup import Html, element, joined, shortened_name
from lossd.audit.html.figures._frame import EDGE, WIDTH, Scale, axis_below, figure, line, text

_LEFT, _RIGHT, _TOP, _STEP, _LONG = 112.0, 58.0, 26.0, 20.0, 15


@dataclass(frozen=True, slots=True)
class Estimate:
    """One line of the figure. `alert` marks it as beyond chance."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    alert: bool = False


def estimates(
    key: str,
    title: str,
    description: str,
    rows: Sequence[Estimate],
    twin: Html,
    *,
    label: Callable[[float | None], str],
    tick: Callable[[float], str] = numbers.tick_label,
    reference: tuple[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    from_zero: bool = False,
) -> Html | None:
    """Points with intervals, labelled by their numbers; `reference` is a named line across.

    `limits` are what the axis never goes beyond. None where no value is defined.
    """
    known = [
        each for row in rows for each in (row.value, *(row.interval or ())) if each is not None
    ]
    if not known:
        return None
    if from_zero:
        known.append(0.0)
    top = _TOP if reference is not None else 4.0
    across = Scale(*_range(known, reference, limits), _LEFT, WIDTH - EDGE - _RIGHT)
    base = top + _STEP * len(rows) + 4
    drawing: list[Html | None] = []
    if reference is not None:
        x = across(reference[1])
        side = "end" if x > (across.start + across.end) / 2 else ""
        words = f"{reference[0]} {label(reference[1])}"
        drawing += [
            line(x, top - 6, x, base, "ideal"),
            text(x + 4 if side else x - 4, 14, words, f"{side} faint".strip()),
        ]
    drawing += [_row(each, top + _STEP * i, across, label) for i, each in enumerate(rows)]
    drawing.append(axis_below(across, base, numbers.ticks(across.low, across.high, 5), tick))
    return figure(key, title, description, base + 24, drawing, twin)


def _range(
    known: Sequence[float],
    reference: tuple[str, float] | None,
    limits: tuple[float, float] | None,
) -> tuple[float, float]:
    values = [*known, reference[1]] if reference else known
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-3)
    low, high = low - room, high + room
    return (max(low, limits[0]), min(high, limits[1])) if limits else (low, high)


def _row(each: Estimate, top: float, across: Scale, label: Callable[[float | None], str]) -> Html:
    y = top + _STEP / 2
    name = text(_LEFT - 10, y + 4, shortened_name(each.name, _LONG), "end name")
    value = text(WIDTH - EDGE, y + 4, label(each.value), "end value")
    if each.value is None:
        return joined(name, value)
    kind = " alert" if each.alert else ""
    stem = None
    if each.interval is not None:
        stem = line(across(each.interval[0]), y, across(each.interval[1]), y, f"stem{kind}")
    dot = element("circle", cx=across(each.value), cy=y, r=3.6, class_=f"dot{kind}")
    guide = line(across.start, y, across.end, y, "grid")
    return joined(guide, name, stem, dot, value)
