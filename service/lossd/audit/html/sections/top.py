"""The verdict, the main numbers, findings and gates."""

from collections.abc import Sequence

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element, joined
from lossd.audit.html.sections._part import capped, part, result
from lossd.audit.metrics import Finding
from lossd.audit.report import Gated, Report

_SIGNS = {
    "pass": "\N{CHECK MARK}",
    "warn": "!",
    "fail": "\N{MULTIPLICATION X}",
    "inconclusive": "?",
    "error": "\N{MULTIPLICATION X}",
    "warning": "!",
    "info": "i",
}
_WORDS = {"pass": "passed", "warn": "warned", "fail": "failed", "inconclusive": "inconclusive"}
_WORST = ("fail", "inconclusive", "warn", "pass")


def _badge(kind: str) -> Html:
    sign = element("span", _SIGNS[kind], aria_hidden="true")
    return element("span", sign, " ", kind, class_=f"badge {kind}")


def header(report: Report) -> Html:
    """The top of the page."""
    rows, classes = (
        numbers.plural(report.rows, "row"),
        numbers.plural(report.classes, "class", "classes"),
    )
    return element(
        "header",
        element("p", f"Audit of {rows} in {classes}", class_="kicker"),
        element("h1", _badge(report.verdict), " ", _headline(report.gates)),
        _main_numbers(report),
    )


def _headline(gates: Sequence[Gated]) -> str:
    if not gates:
        return "No gates were set, so there was nothing to fail."
    parts = []
    for verdict in _WORST:
        many = sum(gate.verdict == verdict for gate in gates)
        if many:
            parts.append(f"{many} {_WORDS[verdict]}")
    return f"Of {numbers.plural(len(gates), 'gate')}, {', '.join(parts)}."


def _main_numbers(report: Report) -> Html:
    """A handful of numbers that a reader looks for first."""
    boxes = []
    accuracy = result(report, "accuracy")
    if accuracy is not None:
        top = accuracy["top_1"]
        boxes.append(
            _box("Accuracy", numbers.percent(top["value"]), numbers.percents(top["interval"]))
        )
    loss = result(report, "loss")
    if loss is not None:
        value, interval = numbers.number(loss["mean"]), numbers.between(loss["interval"])
        boxes.append(_box("Mean loss", value, interval))
    calibration = result(report, "calibration")
    if calibration is not None:
        error = calibration["ece"]["equal_width_15"]
        boxes.append(_box("Calibration error", numbers.percent(error), "expected, 15 bins"))
    issues = result(report, "label_issues")
    if issues is not None:
        share = issues["count"] / report.rows if report.rows else None
        note = f"{numbers.percent(share)} of rows"
        boxes.append(_box("Suspicious labels", numbers.count(issues["count"]), note))
    return element("dl", *boxes, class_="boxes")


def _box(name: str, value: str, note: str) -> Html:
    inner = (element("dt", name), element("dd", value, class_="big"), element("dd", note))
    return element("div", *inner)


def findings(report: Report, caps: Caps) -> Html:
    """All that was found, as sentences, the gravest first."""
    found = report.findings
    if not found:
        return part("findings", "Findings", element("p", "Nothing was found."))
    shown = found[: caps.findings]
    items = [element("li", _badge(each.severity), _finding(each, caps)) for each in shown]
    rest = capped(len(shown), len(found), "findings")
    return part("findings", "Findings", element("ul", *items, class_="said"), rest)


def _finding(each: Finding, caps: Caps) -> Html:
    rows = None
    if each.ids:
        names = [element("code", element("bdi", caps.named(id_))) for id_ in each.ids[:10]]
        left = (each.count or 0) - len(names)
        more = f" and {numbers.count(left)} more" if left > 0 else None
        listed = [piece for name in names for piece in (" ", name)]
        rows = element("span", "Rows:", *listed, more, class_="ids")
    return element("div", element("p", element("bdi", caps.said(each.sentence))), rows)


def gates(report: Report, caps: Caps) -> Html | None:
    """What became of each gate, the failed ones first. None where there are none."""
    if not report.gates:
        return None
    ordered = sorted(report.gates, key=lambda gate: _WORST.index(gate.verdict))
    items = [
        element("li", _badge(each.verdict), _gate(each, caps)) for each in ordered[: caps.gates]
    ]
    rest = capped(len(items), len(ordered), "gates")
    return part("gates", "Gates", element("ul", *items, class_="said"), rest)


def _gate(each: Gated, caps: Caps) -> Html:
    details = [
        f"value {numbers.short(each.value)}" if each.value is not None else None,
        f"interval {numbers.between(each.interval)}" if each.interval is not None else None,
        f"limit {numbers.short(each.limit)}" if each.limit is not None else None,
    ]
    words = ", ".join(detail for detail in details if detail)
    name = element("code", element("bdi", caps.named(each.name)))
    below = joined(name, ": ", words) if words else name
    sentence = element("p", element("bdi", caps.said(each.sentence)))
    return element("div", sentence, element("span", below, class_="ids"))
