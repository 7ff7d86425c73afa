"""What has no part of its own, and how the report was made."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lossd import __version__
from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import pairs
from lossd.audit.html.sections._part import part, result, said
from lossd.audit.report import Report

_SHOWN = frozenset(
    {
        "accuracy",
        "calibration",
        "confusion",
        "distributions",
        "gradients",
        "label_issues",
        "lint",
        "loss",
        "per_class",
        "per_slice",
        "rows",
    }
)
_BOUNDS = {
    "most_listed": "Rows in a bounded list",
    "most_sampled": "Rows of the sample",
    "most_slices": "Values of a slice column",
    "dense_classes": "Classes of a dense confusion matrix",
}
_DEPTH = 3


def others(report: Report, caps: Caps) -> Html | None:
    """The numbers of metrics that have no part of their own, as they are in report.json."""
    names = [name for name in report.results if name not in _SHOWN]
    if not names:
        return None
    lists = []
    for name in names:
        rows = list(islice(_leaves(report.results[name], caps), caps.others))
        lists += [element("h3", caps.named(name)), pairs(rows)]
    sentence = f"Numbers, {caps.others} of each at most; report.json has all, and the lists."
    return part("others", "Other metrics", said(sentence), element("div", *lists, class_="lists"))


def _leaves(value: Any, caps: Caps, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Numbers, words and intervals by their paths; no lists, nothing deeper than a few names."""
    if isinstance(value, Mapping) and len(path) < _DEPTH:
        for key, each in value.items():
            yield from _leaves(each, caps, (*path, str(key)))
        return
    is_long = isinstance(value, list | tuple) and len(value) != 2
    if not is_long and not isinstance(value, Mapping):
        yield caps.named(".".join(path)), _shown(value, caps)


def _shown(value: Any, caps: Caps) -> str:
    if value is None or isinstance(value, bool):
        return {None: numbers.NONE, True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return numbers.count(value)
    if isinstance(value, float):
        return numbers.number(value)
    if isinstance(value, str):
        return caps.named(value)
    if isinstance(value, Sequence):
        if len(value) == 2 and all(isinstance(each, float) for each in value):
            return numbers.between(value)
        return numbers.plural(len(value), "entry", "entries")
    return numbers.plural(len(value), "value")


def made(report: Report, caps: Caps) -> Html:
    """Setup, bounds and version; `notes` come last, and are all that may differ between runs."""
    setup = report.setup
    seen = result(report, "rows")
    rows = [
        ("Rows seen", numbers.count(seen["seen"]) if seen else None),
        ("Rows used", numbers.count(report.rows)),
        ("Classes", numbers.count(report.classes)),
        ("Scores", setup.get("scores")),
        ("Loss", caps.named(setup["loss"]) if "loss" in setup else None),
        ("Parameters of the loss", _params(setup.get("params") or {}, caps)),
        ("Metrics", caps.said(", ".join(report.results))),
        ("Slices", caps.said(", ".join(setup.get("slices") or ())) or None),
        ("Intervals", "two-sided, at 95 %"),
        *((name, numbers.count(setup[key])) for key, name in _BOUNDS.items() if key in setup),
        ("Made by", f"lossd {__version__}"),
    ]
    caption = (
        f"Names are cut after {caps.name} characters here, sentences after {caps.sentence}. "
        "report.json has every number of this page, uncut."
    )
    notes = [
        (caps.named(key), caps.named(_shown(value, caps)))
        for key, value in list(report.notes.items())[: caps.others]
    ]
    run = element("div", element("h3", "This run"), pairs(notes), id="notes") if notes else None
    return part(
        "made",
        "How this was made",
        element("div", pairs(rows), class_="lists"),
        element("p", caption, class_="cap"),
        run,
    )


def _params(params: Mapping[str, Any], caps: Caps) -> str | None:
    words = ", ".join(f"{name} = {_shown(each, caps)}" for name, each in params.items())
    return caps.said(words) or None
