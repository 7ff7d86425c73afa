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
    """Points with intervals, labelled by their numbers; `reference` is a line across and its words.

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
        drawing += [
            line(x, top - 6, x, base, "ideal"),
            text(x + 4 if side else x - 4, 14, reference[0], f"{side} faint".strip()),
        ]
    middles = [top + _STEP * (i + 0.5) for i in range(len(rows))]
    drawing += [
        element("path", d=_guides(middles, across), class_="grid"),
        *(_stems(rows, middles, across, alert) for alert in (False, True)),
        *(_row(each, y, across, label) for each, y in zip(rows, middles, strict=True)),
    ]
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


def _guides(middles: Sequence[float], across: Scale) -> str:
    """A faint line for the eye along each row."""
    return "".join(f"M{across.start:g} {y:g}H{across.end:g}" for y in middles)


def _stems(
    rows: Sequence[Estimate], middles: Sequence[float], across: Scale, alert: bool
) -> Html | None:
    """The intervals of one kind, as one path."""
    drawn = "".join(
        f"M{across(each.interval[0]):.1f} {y:g}H{across(each.interval[1]):.1f}"
        for each, y in zip(rows, middles, strict=True)
        if each.interval is not None and each.alert is alert
    )
    return element("path", d=drawn, class_="stem alert" if alert else "stem") if drawn else None


def _row(each: Estimate, y: float, across: Scale, label: Callable[[float | None], str]) -> Html:
    name = text(_LEFT - 10, y + 4, shortened_name(each.name, _LONG), "end")
    value = text(WIDTH - EDGE, y + 4, label(each.value), "end")
    dot = None
    if each.value is not None:
        class_ = "dot alert" if each.alert else "dot"
        dot = element("circle", cx=across(each.value), cy=y, r=3.6, class_=class_)
    return joined(name, dot, value)
