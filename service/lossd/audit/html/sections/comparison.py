"""What changed from a baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import table
from lossd.audit.html.figures.intervals import Estimate, estimates
from lossd.audit.html.sections._part import capped, part
from lossd.audit.report import Report

_HEADS = ("Of", "Baseline", "Candidate", "Change", "95 % interval", "Found in 4 of 5 cases")
_GROUP_HEADS = (
    "Name",
    "Rows of the baseline",
    "Of the candidate",
    "Accuracy before",
    "After",
    "Change, points",
    "95 % interval",
)
_WHOLE = (
    ("accuracy", "Accuracy, change in points"),
    ("loss", "Mean loss"),
    ("confidence", "Mean confidence, in points"),
)
_FLIPS = (
    ("right_to_wrong", "Right before, wrong now"),
    ("wrong_to_right", "Wrong before, right now"),
)


def comparison(report: Report, caps: Caps) -> Html | None:
    """Differences of the whole, of classes and slices, and rows that flipped."""
    found = report.comparison
    if found is None:
        return None
    sentences = [
        element("li", element("bdi", caps.said(each)))
        for each in found["sentences"][: caps.findings]
    ]
    named = [("Class", found["per_class"], "class")]
    named += [(name, each, "value") for name, each in found["slices"].items()]
    groups = [
        _group(i, caps, name, each, key)
        for i, (name, each, key) in enumerate(named[: caps.columns + 1])
        if each is not None
    ]
    return part(
        "comparison",
        "Compared with the baseline",
        element("ul", *sentences, class_="plain"),
        _whole(found),
        element("div", *groups, class_="many"),
        capped(min(len(named), caps.columns + 1) - 1, len(named) - 1, "columns"),
        _flips(found["flips"], caps),
    )


def _whole(found: Mapping[str, Any]) -> Html:
    paired = found["accuracy"] is not None and found["accuracy"]["paired"]
    rows = [
        (name, *_change(found[key], numbers.number if key == "loss" else numbers.percent))
        for key, name in _WHOLE
        if found[key] is not None
    ]
    kind = "of the same rows" if paired else "of different rows"
    return table(
        f"Changes {kind}, candidate less baseline, and how large one must be to be found",
        _HEADS,
        rows,
    )


def _change(each: Mapping[str, Any], shown: Any) -> tuple[str, ...]:
    low_high = each["interval"]
    share = shown is numbers.percent
    between = numbers.changes if share else numbers.between
    return (
        shown(each["baseline"]),
        shown(each["candidate"]),
        numbers.change(each["difference"]) if share else numbers.number(each["difference"]),
        between(low_high),
        shown(each["minimum_detectable"]),
    )


def _estimate(name: str, each: Mapping[str, Any]) -> Estimate:
    found = each["accuracy"]
    if found is None:
        return Estimate(name, None, None)
    low, high = found["interval"]
    return Estimate(name, found["difference"], (low, high), alert=high < 0)


def _group(i: int, caps: Caps, name: str, group: Mapping[str, Any], key: str) -> Html:
    """Changes of accuracy of the values of one column, the worst first."""
    tested = [each for each in group["listed"] if each["accuracy"] is not None]
    shown = tested[: caps.slices]
    names = [caps.named(each[key]) for each in shown]
    lost = sum(each["accuracy"]["interval"][1] < 0 for each in tested)
    title = f"Change of accuracy by {caps.named(name if key == 'value' else 'class')}, in points"
    lines = [_line(name, each) for name, each in zip(names, shown, strict=True)]
    drawn = estimates(
        f"change-{i}",
        title,
        f"{lost} of {len(tested)} lost accuracy beyond their interval. Filled: those.",
        [_estimate(name, each) for name, each in zip(names, shown, strict=True)],
        table(title, _GROUP_HEADS, lines),
        label=numbers.change,
        tick=numbers.change_label,
        reference=("no change", 0.0),
        limits=(-1.0, 1.0),
    )
    small = group["compared"] - len(tested)
    words = f"{numbers.plural(small, 'value')} of fewer than {group['least_rows']} rows left out."
    return element(
        "div",
        drawn,
        capped(len(shown), len(tested), "values", ", those that changed for the worse most"),
        element("p", words, class_="cap") if small > 0 else None,
    )


def _line(name: str, each: Mapping[str, Any]) -> Sequence[str]:
    found, (before, after) = each["accuracy"], each["count"]
    return (
        name,
        numbers.count(before),
        numbers.count(after),
        numbers.percent(found["baseline"]),
        numbers.percent(found["candidate"]),
        numbers.change(found["difference"]),
        numbers.changes(found["interval"]),
    )


def _flips(found: Mapping[str, Any] | None, caps: Caps) -> Html | None:
    if found is None:
        return None
    lists = []
    for key, name in _FLIPS:
        ids = found[key]["ids"][: caps.flips]
        names = [element("code", element("bdi", caps.named(each))) for each in ids]
        left = found[key]["count"] - len(ids)
        more = f" and {numbers.count(left)} more" if left > 0 else None
        listed = [piece for each in names for piece in (" ", each)]
        count = element("span", f"{name}: {numbers.plural(found[key]['count'], 'row')}")
        lists.append(element("li", count, element("div", *listed, more, class_="ids")))
    return element("div", element("h3", "Rows that flipped"), element("ul", *lists, class_="plain"))


def drift(report: Report, caps: Caps) -> Html | None:
    """How far distributions moved."""
    found = report.comparison
    if found is None:
        return None
    moved = {name: each for name, each in found["drift"].items() if each is not None}
    if not moved:
        return None
    title = "Largest change of the share of rows below a number"
    rows = [
        Estimate(
            caps.named(name),
            each["ks"],
            (each["ks"], min(1.0, each["ks"] + each["ks_error"])),
            each["psi"] > each["psi_by_chance"],
        )
        for name, each in moved.items()
    ]
    beyond = sum(each.alert for each in rows)
    sentence = f"{beyond} of {numbers.plural(len(rows), 'distribution')} moved by more than chance."
    drawn = estimates(
        "drift-distances",
        title,
        sentence,
        rows,
        table(title, _DRIFT_HEADS, [_drift_line(caps.named(k), v) for k, v in moved.items()]),
        label=numbers.percent,
        tick=numbers.share_label,
        limits=(0.0, 1.0),
        from_zero=True,
    )
    key = "Bars reach to what the bins may hide. Filled: beyond what chance gives; with many rows "
    key += "small moves are too, so look at their size."
    return part(
        "drift",
        "Drift",
        element("p", sentence),
        element("div", element("div", drawn, _cap(key)), _shares(found, caps), class_="two"),
    )


_SHARES = {
    "label": "Share of rows with a label",
    "predicted": "Share of rows with a prediction",
}
_DRIFT_HEADS = (
    "Distribution",
    "Kolmogorov-Smirnov",
    "Too low by at most",
    "Stability index",
    "By chance",
    "Mean distance",
    "In deviations",
)


def _cap(words: str) -> Html:
    return element("p", words, class_="cap")


def _drift_line(name: str, each: Mapping[str, Any]) -> Sequence[str]:
    keys = ("ks", "ks_error", "psi", "psi_by_chance", "wasserstein", "wasserstein_in_deviations")
    return (name, *(numbers.number(each[key], 3) for key in keys))


def _shares(found: Mapping[str, Any], caps: Caps) -> Html | None:
    """The classes whose shares changed most."""
    tables = [
        table(
            _SHARES[name],
            ("Class", "Baseline", "Candidate"),
            [
                (
                    caps.named(one["class"]),
                    numbers.percent(one["baseline"]),
                    numbers.percent(one["candidate"]),
                )
                for one in each["largest"][: caps.confused // 2]
            ],
        )
        for name, each in found["class_shares"].items()
        if each is not None and each["largest"]
    ]
    return element("div", *tables) if tables else None
