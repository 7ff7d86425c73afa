"""A heat map of labels by predictions: the share of a label's rows in each cell."""

from collections.abc import Iterator, Sequence

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._markup import Html, element, joined, shortened_name
from lossd.audit.html._table import table
from lossd.audit.html.figures._frame import EDGE, WIDTH, figure, text

_LEFT, _LONG, _SHORT = 86.0, 11, 3
_SHADES = 6
_FAINT = 0.02  # of a label's rows: what is darkest at least


def darkest(counts: Sequence[Sequence[int]], totals: Sequence[int] | None) -> float:
    """What is drawn darkest: the largest share of a label's rows off the diagonal.

    The largest count, where it is not known how many rows each label has.
    """
    least = _FAINT if totals else 1
    return max([least, *(_weight(i, j, counts, totals) for i, j in _apart(len(counts)))])


def _apart(classes: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(classes) for j in range(classes) if i != j)


def _weight(i: int, j: int, counts: Sequence[Sequence[int]], totals: Sequence[int] | None) -> float:
    return counts[i][j] / max(totals[i], 1) if totals else counts[i][j]


def _cell(x: float, y: float, side: float, count: int, darkness: float | None) -> Html | None:
    """One cell; of the diagonal where there is no darkness."""
    if not count:
        return None
    class_ = "same" if darkness is None else f"s{min(_SHADES, 1 + int(_SHADES * darkness))}"
    return joined(
        element("rect", x=x + 1, y=y + 1, width=side - 2, height=side - 2, class_=class_),
        text(x + side / 2, y + side / 2 + 4, numbers.compact(count), class_),
    )


def heat_map(
    key: str,
    title: str,
    description: str,
    names: Sequence[str],
    counts: Sequence[Sequence[int]],
    totals: Sequence[int] | None,
) -> Html:
    """Counts of some classes. `totals` are of all rows of each label: shades are shares of them."""
    side = min((WIDTH - EDGE - _LEFT) / len(names), 64.0)
    full = darkest(counts, totals)
    longest = min(max(map(len, names)), _LONG)
    top = 40.0 if longest <= _SHORT else 24.0 + 6.5 * longest
    cells = [
        _cell(
            _LEFT + side * j,
            top + side * i,
            side,
            counts[i][j],
            None if i == j else _weight(i, j, counts, totals) / full,
        )
        for i in range(len(names))
        for j in range(len(names))
    ]
    left = [
        text(_LEFT - 6, top + side * (i + 0.5) + 4, shortened_name(name, _LONG), "end name")
        for i, name in enumerate(names)
    ]
    above = [
        _head(_LEFT + side * (j + 0.5), top, shortened_name(name, _LONG))
        for j, name in enumerate(names)
    ]
    frame = element(
        "rect",
        x=_LEFT,
        y=top,
        width=side * len(names),
        height=side * len(names),
        class_="frame",
    )
    drawing = [
        frame,
        element("g", *cells, class_="cells small" if side < 30 else "cells"),
        *left,
        *above,
        text(_LEFT - 6, top - 8, "label", "end faint"),
        text(_LEFT - 6, top - 24, "predicted", "end faint"),
    ]
    rows = [
        (name, *map(numbers.count, row), *([numbers.count(totals[i])] if totals else []))
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    heads = ("Label", *names, *(["All of the label"] if totals else []))
    twin = table(f"{title}: labels by predictions", heads, rows, wide=True)
    return figure(key, title, description, top + side * len(names) + 6, drawing, twin)


def _head(x: float, top: float, name: str) -> Html:
    if len(name) <= _SHORT:
        return text(x, top - 8, name, "middle name")
    place = f"translate({x + 4:.1f} {top - 6:.1f}) rotate(-90)"
    return element("text", name, transform=place, class_="name")
