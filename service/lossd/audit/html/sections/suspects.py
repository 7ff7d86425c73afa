"""Rows whose label looks wrong."""

from collections.abc import Mapping
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import table
from lossd.audit.html.sections._part import capped, class_name, part, result, said
from lossd.audit.report import Report

_HEADS = ("Row", "Label", "Looks like", "P(label)", "Score")


def suspects(report: Report, caps: Caps) -> Html | None:
    """The most suspicious labels, the worst first."""
    found = result(report, "label_issues")
    if found is None:
        return None
    listed = found["listed"]
    shown = listed[: caps.suspects]
    rows = [
        (
            caps.named(each["id"]),
            class_name(report, caps, each["label"]),
            class_name(report, caps, each["suggested"]),
            numbers.column_percent(each["probability"]),
            numbers.number(each["score"], 3),
        )
        for each in shown
    ]
    title = f"Most suspicious labels, by {caps.named(found['ranking'])}"
    return part(
        "suspects",
        "Suspicious labels",
        said(element("bdi", _sentence(report, caps, found))),
        table(title, _HEADS, rows, words=3) if rows else None,
        capped(len(shown), found["count"], "suspicious labels", "; report.json lists more"),
        _bounded(found),
    )


def _sentence(report: Report, caps: Caps, found: Mapping[str, Any]) -> str:
    if not found["count"]:
        return "No label looks wrong."
    share = numbers.percent(found["count"] / report.rows if report.rows else None)
    verb = "looks" if found["count"] == 1 else "look"
    words = f"{numbers.plural(found['count'], 'label')} {verb} wrong, {share} of rows"
    if found["noise_rate"] is not None:
        words += f"; the estimated share of wrong labels is {numbers.percent(found['noise_rate'])}"
    most = found.get("most_mislabelled")
    if most:
        names = [class_name(report, caps, most[0][key]) for key in ("label", "suggested")]
        many = numbers.count(most[0]["count"])
        words += f". Most often, rows labelled {names[0]} look like {names[1]} ({many})"
    return f"{words}."


def _bounded(found: Mapping[str, Any]) -> Html | None:
    if found["complete"]:
        return None
    words = f"The audit keeps the {numbers.count(found['bound'])} most suspicious rows at most."
    return element("p", words, class_="cap")
