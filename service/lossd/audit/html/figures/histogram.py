"""A histogram: how many rows in each bin. Bins wider than the others stand apart, at the ends."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import table
from lossd.audit.html.figures._frame import (
    EDGE,
    WIDTH,
    Scale,
    axis_below,
    axis_left,
    figure,
    line,
    text,
)

_LEFT, _TOP, _PLOT = 44.0, 46.0, 140.0
_TAIL, _GAP = 12.0, 6.0
_ROOM = 48.0  # under the axis, for the number at its end


def _tails(edges: Sequence[float]) -> tuple[bool, bool]:
    """Whether the first and the last bin are wider or narrower than those between."""
    widths = [high - low for low, high in pairwise(edges)]
    if len(widths) < 3:
        return False, False
    usual = sorted(widths)[len(widths) // 2]
    return abs(widths[0] - usual) > 1e-6 * usual, abs(widths[-1] - usual) > 1e-6 * usual


def histogram(
    key: str,
    title: str,
    description: str,
    bins: Mapping[str, Sequence[Any]],
    unit: str,
    marks: Sequence[tuple[str, float | None]] = (),
    *,
    logarithmic: bool = False,
) -> Html | None:
    """Bins as bars over an axis named `unit`; `marks` are named places on it. None of nothing.

    `logarithmic` are the heights, for a tail to be seen; not of fewer than ten rows.
    """
    edges, counts = bins["edges"], bins["counts"]
    if not counts or not sum(counts):
        return None
    before, after = _tails(edges)
    inner = edges[before : len(edges) - after]
    start = _LEFT + (_TAIL + _GAP if before else 0)
    end = WIDTH - EDGE - 8 - (_TAIL + _GAP if after else 0)
    across = Scale(inner[0], inner[-1], start, end)
    base = _TOP + _PLOT
    is_log = logarithmic and max(counts) >= 10
    title += ", heights on a log scale" if is_log else ""
    up, at_left = _upwards(max(counts), base, is_log)

    def place(i: int) -> tuple[float, float]:
        if before and i == 0:
            return _LEFT, _LEFT + _TAIL
        if after and i == len(counts) - 1:
            return end + _GAP, end + _GAP + _TAIL
        return across(edges[i]), across(edges[i + 1])

    ends = (0,) * before + (len(counts) - 1,) * after
    bars = [
        element(
            "path",
            d="".join(
                _bar(*place(i), up(math.log10(each) if is_log else each), base)
                for i, each in enumerate(counts)
                if each and (i in ends) is tail
            ),
            class_="bar tail" if tail else "bar",
        )
        for tail in (False, True)
    ]
    at = numbers.ticks(inner[0], inner[-1], 6)
    near, far = start + (_ROOM if before else -1), end + (1 - _ROOM if after else 1)
    shown = [(name, value) for name, value in marks if value is not None]
    drawing = [
        axis_left(up, _LEFT, WIDTH - EDGE, at_left, _power if is_log else _rows),
        *bars,
        axis_below(across, base, [each for each in at if near < across(each) < far]),
        *_marked(shown, across, base),
        text(_LEFT, base + 16, f"from {numbers.number(edges[0], 3)}", "faint") if before else None,
        text(WIDTH - EDGE, base + 16, f"to {numbers.number(edges[-1], 3)}", "end faint")
        if after
        else None,
        text(_LEFT - 6, _TOP - 14, "rows", "end faint"),
        text((start + end) / 2, base + 34, unit, "middle faint"),
    ]
    twin = table(
        title,
        ("From", "To", "Rows"),
        [
            (numbers.number(low), numbers.number(high), numbers.count(each))
            for (low, high), each in zip(pairwise(edges), counts, strict=True)
        ],
        words=0,
    )
    return figure(key, title, description, base + 40, drawing, twin)


def _upwards(most: int, base: float, is_log: bool) -> tuple[Scale, list[float]]:
    """The scale of counts, or of their logarithms from half a row on; and its ticks."""
    if not is_log:
        return Scale(0, most, base, _TOP), numbers.ticks(0, most, 5)
    powers = range(math.floor(math.log10(most)) + 1)
    return Scale(math.log10(0.5), math.log10(most), base, _TOP), [float(i) for i in powers]


def _power(value: float) -> str:
    return numbers.compact(round(10.0**value))


def _rows(value: float) -> str:
    return numbers.compact(round(value)) if value == round(value) else ""


def _bar(left: float, right: float, top: float, base: float) -> str:
    """A piece of a path; the smallest bar is still seen."""
    width, height = max(right - left - 0.6, 0.6), max(base - top, 0.8)
    return f"M{left:.1f} {base:.1f}v{-height:.1f}h{width:.1f}v{height:.1f}z"


def _marked(marks: Sequence[tuple[str, float]], across: Scale, base: float) -> list[Html]:
    drawn = []
    for i, (name, value) in enumerate(marks):
        x, y = across(value), 14.0 + 14 * i
        side = "end" if x > (across.start + across.end) / 2 else ""
        words = f"{name} {numbers.number(value, 3)}"
        drawn += [
            line(x, y - 8, x, base, "mark"),
            text(x - 5 if side else x + 5, y, words, f"{side} label".strip()),
        ]
    return drawn
