"""Classes and slices: who fares worse."""

from collections.abc import Mapping, Sequence
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import table
from lossd.audit.html.figures.intervals import Estimate, estimates
from lossd.audit.html.sections._part import capped, part, result, said
from lossd.audit.report import Report

_BY_CHANCE = 0.025  # of intervals lie on one side of what they are of
_CLASS_HEADS = (
    "Class",
    "Rows",
    "Accuracy",
    "95 % interval",
    "Precision",
    "Recall",
    "F1",
    "Mean loss",
    "95 % interval",
    "Confidence",
)
_SLICE_HEADS = (
    "Value",
    "Rows",
    "Accuracy",
    "95 % interval",
    "Mean loss",
    "95 % interval",
    "p-value",
    "Differs",
)


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


def _overall(report: Report) -> tuple[str, float] | None:
    accuracy = result(report, "accuracy")
    if accuracy is None or accuracy["top_1"]["value"] is None:
        return None
    value = accuracy["top_1"]["value"]
    return f"all {numbers.percent(value)}", value


def _estimate(name: str, each: Mapping[str, Any], alert: bool) -> Estimate:
    return Estimate(name, each["accuracy"], _pair(each["accuracy_interval"]), alert)


def _accuracy_of(value: Mapping[str, Any]) -> float:
    """By which the worst come first; those without an accuracy last."""
    accuracy = value["accuracy"]
    return 2.0 if accuracy is None else float(accuracy)


def classes(report: Report, caps: Caps) -> Html | None:
    """Accuracy by class, the worst first."""
    found = result(report, "per_class")
    if found is None or not found["classes"]:
        return None
    ordered = sorted(found["classes"], key=_accuracy_of)
    shown = ordered[: caps.classes]
    overall = _overall(report)
    rows = [_estimate(caps.named(each["class"]), each, _below(each, overall)) for each in shown]
    title = "Accuracy by class, the lowest first"
    sentence = _class_sentence(ordered, caps)
    twin = table(title, _CLASS_HEADS, [_class_row(each, caps) for each in shown])
    drawn = estimates(
        "classes-accuracy",
        title,
        sentence,
        rows,
        twin,
        label=numbers.percent,
        tick=numbers.share_label,
        reference=overall,
        limits=(0.0, 1.0),
    )
    rest = capped(len(shown), report.classes, "classes", ", those of the lowest accuracy")
    key = "Filled: the interval lies below the accuracy of all rows, or above their mean loss; "
    key += f"so do about {numbers.short(_BY_CHANCE * len(ordered))} of {len(ordered)} by chance."
    figures = element("div", drawn, _class_losses(shown, report, caps), class_="two")
    note = element("p", key, class_="cap")
    return part("classes", "Classes", said(sentence), figures, note, rest)


def _class_losses(shown: Sequence[Mapping[str, Any]], report: Report, caps: Caps) -> Html | None:
    """The mean losses of the same classes, the highest first."""
    loss = result(report, "loss")
    mean = loss["mean"] if loss else None
    rows = [
        Estimate(
            caps.named(each["class"]),
            each["mean_loss"],
            _pair(each["mean_loss_interval"]),
            _above(each["mean_loss_interval"], mean),
        )
        for each in shown
        if each["mean_loss"] is not None
    ]
    rows.sort(key=lambda each: -(each.value or 0.0))
    title = "Mean loss of the same classes, the highest first"
    lines = [
        (each.name, numbers.number(each.value), numbers.between(each.interval)) for each in rows
    ]
    return estimates(
        "classes-loss",
        title,
        "Points are mean losses, bars their 95 % intervals.",
        rows,
        table(title, ("Class", "Mean loss", "95 % interval"), lines),
        label=lambda value: numbers.number(value, 3),
        reference=None if mean is None else (f"all {numbers.number(mean, 3)}", mean),
        limits=(0.0, float("inf")),
    )


def _above(interval: Sequence[float] | None, mean: float | None) -> bool:
    return interval is not None and mean is not None and interval[0] > mean


def _below(each: Mapping[str, Any], overall: tuple[str, float] | None) -> bool:
    interval = each["accuracy_interval"]
    return interval is not None and overall is not None and interval[1] < overall[1]


def _class_sentence(ordered: Sequence[Mapping[str, Any]], caps: Caps) -> str:
    known = [each for each in ordered if each["accuracy"] is not None]
    if not known:
        return "No class has rows."
    worst, best = known[0], known[-1]
    low = f"{caps.named(worst['class'])} ({numbers.percent(worst['accuracy'])}, "
    low += f"interval {numbers.percents(worst['accuracy_interval'])})"
    if len(known) == 1:
        return f"The accuracy of {low}."
    high = f"{caps.named(best['class'])} ({numbers.percent(best['accuracy'])})"
    return f"Accuracy is lowest for {low} and highest for {high}."


def _class_row(each: Mapping[str, Any], caps: Caps) -> tuple[str, ...]:
    return (
        caps.named(each["class"]),
        numbers.count(each["count"]),
        numbers.percent(each["accuracy"]),
        numbers.percents(each["accuracy_interval"]),
        numbers.percent(each["precision"]),
        numbers.percent(each["recall"]),
        numbers.percent(each["f1"]),
        numbers.number(each["mean_loss"]),
        numbers.between(each["mean_loss_interval"]),
        numbers.percent(each["mean_confidence"]),
    )


def slices(report: Report, caps: Caps) -> Html | None:
    """Accuracy by the values of each slice column, the worst first."""
    found = result(report, "per_slice")
    if found is None or not found["columns"]:
        return None
    columns = list(found["columns"].items())
    drawn = [
        _column(i, report, caps, name, each)
        for i, (name, each) in enumerate(columns[: caps.columns])
    ]
    return part(
        "slices",
        "Slices",
        said(_slice_sentence(found, caps)),
        element("div", *drawn, class_="many"),
        capped(len(drawn), len(columns), "columns"),
    )


def _slice_sentence(found: Mapping[str, Any], caps: Caps) -> str:
    all_ = [
        (name, value) for name, column in found["columns"].items() for value in column["values"]
    ]
    tested = [each for each in all_ if each[1]["p_value"] is not None]
    out = [each for each in tested if each[1]["rejected"]]
    rate = numbers.share_label(found["false_discovery_rate"])
    words = f"{len(out)} of {numbers.plural(len(tested), 'tested slice')} "
    words += f"{'differs' if len(out) == 1 else 'differ'} from the other rows beyond chance "
    words += f"(at a false discovery rate of {rate})"
    if not out:
        return f"{words}."
    column, value = min(out, key=lambda each: _accuracy_of(each[1]))
    where = f"{caps.named(column)} = {caps.named(value['value'])}"
    rows = numbers.plural(value["count"], "row")
    return f"{words}; the lowest is {where}: {numbers.percent(value['accuracy'])} of {rows}."


def _column(i: int, report: Report, caps: Caps, name: str, column: Mapping[str, Any]) -> Html:
    """One column. Slices that differ come before others, so that a cap never hides one first."""
    ordered = sorted(column["values"], key=lambda each: (not each["rejected"], _accuracy_of(each)))
    shown = ordered[: caps.slices]
    title = f"Accuracy by {caps.named(name)}"
    rows = [_estimate(caps.named(each["value"]), each, each["rejected"]) for each in shown]
    lines = [_slice_row(each, caps.named(each["value"])) for each in shown]
    others = column.get("others")
    if others is not None:
        lines.append(_slice_row(others, "all others"))
    many = numbers.plural(len(column["values"]), "value")
    out = sum(each["rejected"] for each in column["values"])
    drawn = estimates(
        f"slice-{i}",
        title,
        f"{many}, of which {out} differ from the other rows. Filled: those.",
        rows,
        table(title, _SLICE_HEADS, lines),
        label=numbers.percent,
        tick=numbers.share_label,
        reference=_overall(report),
        limits=(0.0, 1.0),
    )
    pooled = None
    if others is not None:
        words = f"{numbers.plural(others['count'], 'row')} of other values are pooled in the table."
        pooled = element("p", words, class_="cap")
    return element("div", drawn, capped(len(shown), len(ordered), "values"), pooled)


def _slice_row(each: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return (
        name,
        numbers.count(each["count"]),
        numbers.percent(each.get("accuracy")),
        numbers.percents(each.get("accuracy_interval")),
        numbers.number(each.get("mean_loss")),
        numbers.between(each.get("mean_loss_interval")),
        numbers.probability(each.get("p_value")),
        "yes" if each.get("rejected") else "no",
    )
