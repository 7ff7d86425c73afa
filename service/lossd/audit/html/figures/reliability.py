"""A reliability diagram: how often rows of a confidence are right, with intervals and counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._markup import Html, element, joined
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

_LEFT, _TOP, _PLOT, _STRIP = 44.0, 22.0, 240.0, 44.0
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def outside(each: Mapping[str, Any]) -> bool:
    """Whether a bin's confidence is not in the interval of its accuracy."""
    if each["interval"] is None or each["confidence"] is None:
        return False
    low, high = each["interval"]
    return not low <= each["confidence"] <= high


def _point(each: Mapping[str, Any], across: Scale, up: Scale) -> Html:
    x = across(each["confidence"])
    class_ = "dot alert" if outside(each) else "dot"
    low, high = each["interval"] or (each["accuracy"], each["accuracy"])
    stem = line(x, up(low), x, up(high), "stem alert" if outside(each) else "stem")
    return joined(stem, element("circle", cx=x, cy=up(each["accuracy"]), r=3.6, class_=class_))


def reliability(key: str, title: str, description: str, bins: Sequence[Mapping[str, Any]]) -> Html:
    """Points on the diagonal are calibrated. Bins outside their interval are filled."""
    across = Scale(0, 1, _LEFT, WIDTH - EDGE - 8)
    up = Scale(0, 1, _TOP + _PLOT, _TOP)
    top, base = _TOP + _PLOT + 10, _TOP + _PLOT + 10 + _STRIP
    most = max([each["count"] for each in bins], default=0) or 1
    tall = Scale(0, most, base, top)
    full = [each for each in bins if each["count"]]
    strip = [
        element(
            "rect",
            x=across(each["low"]) + 0.5,
            y=min(tall(each["count"]), base - 0.8),
            width=across(each["high"]) - across(each["low"]) - 1,
            height=max(base - tall(each["count"]), 0.8),
            class_="bar tail",
        )
        for each in full
    ]
    drawing = [
        axis_left(up, _LEFT, across.end, _QUARTERS, numbers.share_label),
        text(across.start + 8, _TOP + 16, "underconfident", "faint"),
        text(across.end - 8, up.start - 10, "overconfident", "end faint"),
        line(across.start, up.start, across.end, up.end, "ideal"),
        *(_point(each, across, up) for each in full),
        *strip,
        text(_LEFT - 6, top + 10, numbers.compact(most), "end"),
        text(_LEFT - 6, base, "rows", "end faint"),
        axis_below(across, base, _QUARTERS, numbers.share_label),
        text(_LEFT - 6, 11, "right", "end faint"),
        text((across.start + across.end) / 2, base + 34, "confidence", "middle faint"),
    ]
    heads = ("Confidence", "Rows", "Mean confidence", "Right", "95 % interval", "Outside")
    rows = [
        (
            f"{each['low']:.3f} to {each['high']:.3f}",
            numbers.count(each["count"]),
            numbers.percent(each["confidence"]),
            numbers.percent(each["accuracy"]),
            numbers.percents(each["interval"]),
            "yes" if outside(each) else "no",
        )
        for each in bins
    ]
    return figure(key, title, description, base + 40, drawing, table(title, heads, rows))
