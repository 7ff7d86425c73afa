"""Whether rows of a confidence are right that often."""

from collections.abc import Mapping
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import pairs
from lossd.audit.html.figures.reliability import outside, reliability
from lossd.audit.html.sections._part import part, result, said
from lossd.audit.report import Report

_BY_CHANCE = 0.05
_ERRORS = {
    "equal_width_15": "Expected error, 15 bins of equal width",
    "equal_mass_15": "Expected error, 15 bins of equal counts",
    "classwise": "Mean over classes",
    "debiased_l2": "Root mean square, less what chance gives",
    "maximum": "Largest of a bin",
}


def calibration(report: Report, caps: Caps) -> Html | None:
    """The reliability diagram and the errors of calibration."""
    found = result(report, "calibration")
    if found is None:
        return None
    sentence = _sentence(found)
    title = "How often rows of a confidence are right"
    drawn = reliability("reliability", title, sentence, found["bins"])
    errors = [(name, found["ece"][key]) for key, name in _ERRORS.items() if key in found["ece"]]
    brier = found["brier"]
    rows = [
        ("Mean confidence", numbers.percent(found["mean_confidence"])),
        ("Accuracy", numbers.percent(found["accuracy"])),
        *((name, numbers.percent(value)) for name, value in errors if _plain(value)),
        ("Brier score", numbers.number(brier["value"])),
        ("of it, miscalibration", numbers.number(brier["miscalibration"])),
        ("less discrimination", numbers.number(brier["discrimination"])),
        ("plus uncertainty of the labels", numbers.number(brier["uncertainty"])),
    ]
    key = "A dot is a bin, its bar the 95 % interval of its accuracy. Filled: outside. "
    note = element("p", f"{key}The line is perfect calibration.", class_="cap")
    beside = element("div", pairs(rows), note)
    return part(
        "calibration", "Calibration", said(sentence), element("div", drawn, beside, class_="two")
    )


def _plain(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _sentence(found: Mapping[str, Any]) -> str:
    full = [each for each in found["bins"] if each["count"]]
    out = sum(outside(each) for each in full)
    chance = numbers.number(_BY_CHANCE * len(full), 2)
    one = "its" if len(full) == 1 else "their"
    words = f"{out} of {numbers.plural(len(full), 'bin')} "
    words += f"{'lies' if out == 1 else 'lie'} outside {one} interval ({chance} would by chance)"
    if found["mean_confidence"] is None or found["accuracy"] is None:
        return f"{words}."
    gap = found["mean_confidence"] - found["accuracy"]
    interval = found["gap"]["interval"]
    if interval is None or interval[0] <= 0 <= interval[1]:
        return f"{words}; on average the model is neither over- nor underconfident beyond chance."
    how = "overconfident" if gap > 0 else "underconfident"
    return f"{words}; the model is {how} by {numbers.points(abs(gap))} on average."
