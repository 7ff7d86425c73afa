"""Which classes are taken for which."""

from collections.abc import Mapping, Sequence
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import table
from lossd.audit.html.figures.heat_map import darkest, heat_map
from lossd.audit.html.sections._part import capped, class_name, part, result, said
from lossd.audit.report import Report

_Cells = dict[tuple[int | str, int | str], int]


def confusion(report: Report, caps: Caps) -> Html | None:
    """The heat map of the classes that are confused most, and the pairs."""
    found = result(report, "confusion")
    if found is None:
        return None
    cells = _cells(found)
    chosen = _chosen(cells, report, caps.confused)
    names = [class_name(report, caps, each) for each in chosen]
    counts = [[cells.get((i, j), 0) for j in chosen] for i in chosen]
    totals = _totals(cells, chosen) if found["dense"] else None
    pairs = found["most_confused"]
    sentence = _sentence(report, caps, pairs)
    title = "Labels (rows) by predictions (columns)"
    drawn = heat_map("confusion", title, sentence, names, counts, totals) if chosen else None
    shown = pairs[: caps.confused]
    rows = [
        (
            class_name(report, caps, each["label"]),
            class_name(report, caps, each["predicted"]),
            numbers.count(each["count"]),
            numbers.percent(each["share"]),
        )
        for each in shown
    ]
    beside = element(
        "div",
        element("p", _key(counts, totals), class_="cap") if chosen else None,
        table("Most confused", ("Label", "Predicted", "Rows", "Of the label"), rows, words=2)
        if rows
        else None,
        capped(len(chosen), report.classes, "classes", " in the figure, the most confused ones"),
        _pooled(found),
    )
    return part(
        "confusions", "Confusion", said(sentence), element("div", drawn, beside, class_="two")
    )


def _key(counts: Sequence[Sequence[int]], totals: Sequence[int] | None) -> str:
    full = darkest(counts, totals)
    if totals is None:
        words = f"Darker: more rows, up to {numbers.count(round(full))}. "
        return words + "Rows that are right are not in the figure."
    words = f"Darker: a larger share of the label's rows, up to {numbers.percent(full)}. "
    return words + "Outlined, on the diagonal: predicted as labelled."


def _cells(found: Mapping[str, Any]) -> _Cells:
    """The cells that hold rows, by label and prediction."""
    if found["dense"]:
        return {
            (i, j): each
            for i, row in enumerate(found["counts"])
            for j, each in enumerate(row)
            if each
        }
    return {(each["label"], each["predicted"]): each["count"] for each in found["pairs"]}


def _chosen(cells: _Cells, report: Report, most: int) -> list[int | str]:
    """The classes of the most frequent confusions, in the order of classes."""
    names = report.setup.get("classes") or [str(i) for i in range(report.classes)]
    order = {name: i for i, name in enumerate(names)}

    def place(class_: int | str) -> int:
        return class_ if isinstance(class_, int) else order.get(class_, len(order))

    def gravity(pair: tuple[int | str, int | str]) -> tuple[int, ...]:
        return (-(cells[pair] if pair[0] != pair[1] else 0), *map(place, pair))

    chosen: dict[int | str, None] = {}
    for pair in sorted(cells, key=gravity):
        if len(chosen | dict.fromkeys(pair)) <= most:
            chosen |= dict.fromkeys(pair)
    return sorted(chosen, key=place)


def _totals(cells: _Cells, chosen: Sequence[int | str]) -> list[int]:
    """All rows of each label, whatever was predicted."""
    of = dict.fromkeys(chosen, 0)
    for (label, _), count in cells.items():
        if label in of:
            of[label] += count
    return list(of.values())


def _sentence(report: Report, caps: Caps, pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return "No class was taken for another."
    worst = pairs[0]
    label, predicted = (class_name(report, caps, worst[key]) for key in ("label", "predicted"))
    share = numbers.percent(worst["share"])
    rows = numbers.plural(worst["count"], "row")
    return f"Most often, {label} is taken for {predicted}: {rows}, {share} of {label}."


def _pooled(found: Mapping[str, Any]) -> Html | None:
    others = found.get("others")
    if not others:
        return None
    words = f"{numbers.plural(others, 'row')} in pairs beyond the bound are not in the figure."
    return element("p", words, class_="cap")
