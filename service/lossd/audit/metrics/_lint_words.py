"""What lint says of what it found."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lossd.audit.metrics._spec import Finding, Severity, Whole
from lossd.audit.metrics._words import percent, quoted

_NEARLY_ALL = 0.99
_LEAST_ROWS = 100  # below, a model may be right everywhere by merit or by chance
_PAIRS = 5
_FEW_CLASSES, _TIES = 3, 0.05  # rounding to 16 bits makes scores of few classes equal at times
_SURE = 3.9  # standard deviations: beyond by chance in one of ten thousand audits

# code: the share of rows from which it is said, how grave it is, and what is said
_OF_ROWS: dict[str, tuple[float, Severity, str]] = {
    "equal_scores": (
        0.0,
        "warning",
        "{rows} of {all} rows have the same score for every class, so that they say nothing.",
    ),
    "scores_like_probabilities": (
        _NEARLY_ALL,
        "error",
        "{rows} of {all} rows lie between 0 and 1 and sum to 1, but for rounding: these are"
        " probabilities, but they were sent as logits, so that every loss and confidence here is"
        " wrong.",
    ),
    "scores_like_log_probabilities": (
        _NEARLY_ALL,
        "info",
        "{rows} of {all} rows are log-probabilities; sent as logits they give the same results.",
    ),
    "scores_outside_probabilities": (
        0.0,
        "error",
        "{rows} of {all} rows have scores below 0 or above 1: these are no probabilities; they may"
        " be logits.",
    ),
    "probabilities_do_not_sum_to_one": (
        0.0,
        "warning",
        "{rows} of {all} rows do not sum to 1 (sums are from {low:.4g} to {high:.4g}), so that"
        " losses and confidences of them are not those of probabilities.",
    ),
    "absurd_magnitude": (
        0.0,
        "warning",
        "{rows} of {all} rows have a largest score beyond 10000 in magnitude, where float32 keeps"
        " three digits after the point or fewer and a softmax is 0 or 1.",
    ),
}


CODES = (
    *_OF_ROWS,
    "constant_scores",
    "constant_prediction",
    "shifted_classes",
    "permuted_classes",
    "repeated_row_numbers",
    "like_training_rows",
)


def sentences(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    """The findings of a result."""
    sample = result["sample"]
    for each in result["checks"]:
        least, severity, text = _OF_ROWS[each["check"]]
        if each["check"] == "equal_scores" and whole.classes <= _FEW_CLASSES:
            least = _TIES
        if each["rows"] and each["share"] >= least:
            if each["check"] == "scores_like_log_probabilities" and _are_probabilities(whole):
                severity, text = "error", _LOG_PROBABILITIES
            sentence = text.format(
                rows=each["rows"],
                all=whole.rows,
                low=sample["smallest_sum"],
                high=sample["largest_sum"],
            )
            yield Finding(each["check"], severity, sentence, tuple(each["ids"]), each["rows"])
    yield from _constant(sample, whole)
    yield from _renumbered(sample, whole)
    yield from _repeated(sample, whole)
    yield from _too_good(sample)


_LOG_PROBABILITIES = (
    "{rows} of {all} rows have no score above 0: these may be log-probabilities, but they were sent"
    " as probabilities."
)


def _are_probabilities(whole: Whole) -> bool:
    return whole.setup.scores == "probabilities"


def _rows_of(sample: Mapping[str, Any]) -> str:
    n = sample["kept"]
    return f"all {n} rows" if sample["complete"] else f"all {n} sampled of {sample['of']} rows"


def _constant(sample: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    if sample["only_prediction"] is None or sample["labels"] < 2:
        return
    name = whole.name_of(sample["only_prediction"])
    count = sample["kept"]
    if sample["same_scores"]:
        yield Finding(
            "constant_scores",
            "error",
            f"The scores are the same in {_rows_of(sample)}, while the labels are of"
            f" {sample['labels']} classes: the model does not look at its input.",
            count=count,
        )
    elif count >= 10 * sample["labels"]:
        others, expected = sample["others"], sample["others_expected"]
        sentence = (
            f"The class {quoted(name)} has the largest score in {_rows_of(sample)}, while"
            f" {percent(others)} of the labels are of others; the model expects"
            f" {percent(expected)}."
        )
        severity = _severity_of_constant(others, expected, count)
        yield Finding("constant_prediction", severity, sentence, count=count)


def _severity_of_constant(others: float, expected: float, count: int) -> Severity:
    """An error if the model does not expect other classes as often as they come.

    Of a rare event a good model, too, may give every row the same class.
    """
    by_chance = _SURE * math.sqrt(others * (1 - others) / count)
    if others - expected > max(by_chance, min(0.01, others / 2)):
        return "error"
    return "info" if others <= 0.5 else "warning"


def _renumbered(sample: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    found = sample["renumbering"]
    if found is None:
        return
    change = (
        f"accuracy would be {percent(found['accuracy_after'])} and not"
        f" {percent(found['accuracy_before'])}"
    )
    if found["shift"] is not None:
        number = found["shift"]
        by = "one" if abs(number) == 1 else str(abs(number))
        way = "above" if number > 0 else "below"
        yield Finding(
            "shifted_classes",
            "error",
            f"Class numbers are shifted by {by}: predictions are {by} {way} the labels; without it"
            f" {change}.",
        )
        return
    shown = [
        f"{quoted(whole.name_of(a))} is predicted as {quoted(whole.name_of(b))}"
        for a, b in found["pairs"][:_PAIRS]
    ]
    more = len(found["pairs"]) - len(shown)
    rest = f", and {more} more" if more > 0 else ""
    yield Finding(
        "permuted_classes",
        "error",
        f"Classes of labels and scores are in different orders: {', '.join(shown)}{rest}; in the"
        f" same order {change}.",
    )


def _repeated(sample: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    """Of row numbers; ids that come twice are a finding of the metric `sample`."""
    found = sample["duplicates"]
    if not found["rows"] or whole.setup.has_ids:
        return
    estimate = round(found["share"] * sample["of"])
    about = str(found["rows"]) if sample["complete"] else f"About {estimate}"
    yield Finding(
        "repeated_row_numbers",
        "warning",
        f"{about} of {sample['of']} rows have a row number that another row before them has: parts"
        " without ids were counted from the same number.",
        tuple(found["ids"]),
        found["rows"] if sample["complete"] else estimate,
    )


def _too_good(sample: Mapping[str, Any]) -> Iterable[Finding]:
    if sample["kept"] < _LEAST_ROWS or sample["impossible_labels"] or sample["labels"] < 2:
        return
    if sample["accuracy"] >= 0.999 and sample["mean_loss"] <= 0.005:
        yield Finding(
            "like_training_rows",
            "info",
            f"Accuracy is {100 * sample['accuracy']:.2f} % and the mean loss"
            f" {sample['mean_loss']:.2g}: so well does a model know the rows that it"
            " was trained on. If these are, label issues and calibration mean little.",
        )
