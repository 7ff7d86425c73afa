"""Differences class by class and slice by slice, from the results of two reports."""

from collections.abc import Iterable, Mapping
from typing import Any

from lossd.audit.comparing.differences import Difference, of_means, of_shares

_MOST_LISTED = 200
_LEAST_ROWS = 30

Result = Mapping[str, Any]


def of_classes(a: Mapping[str, Result], b: Mapping[str, Result]) -> dict[str, Any] | None:
    """Of the classes that both reports list; accuracy is of the rows with that label."""
    if "per_class" not in a or "per_class" not in b:
        return None
    return _of_lists(a["per_class"]["classes"], b["per_class"]["classes"], "class")


def of_slices(a: Mapping[str, Result], b: Mapping[str, Result]) -> dict[str, Any]:
    """By column, of the values that both reports list."""
    if "per_slice" not in a or "per_slice" not in b:
        return {}
    columns, others = a["per_slice"]["columns"], b["per_slice"]["columns"]
    return {
        name: _of_lists(columns[name]["values"], others[name]["values"], "value")
        for name in columns
        if name in others
    }


def _of_lists(a: Iterable[Result], b: Iterable[Result], key: str) -> dict[str, Any]:
    """Worst change first. `only_baseline`, `only_candidate`: listed in one report alone."""
    before, after = ({each[key]: each for each in some} for some in (a, b))
    shared = [name for name in before if name in after]
    found = [_of_pair(before[name], after[name], {key: name}) for name in shared]
    found.sort(key=lambda each: (_change(each), str(each[key])))
    return {
        "listed": found[:_MOST_LISTED],
        "compared": len(found),
        "least_rows": _LEAST_ROWS,
        "only_baseline": [str(each) for each in before if each not in after][:_MOST_LISTED],
        "only_candidate": [str(each) for each in after if each not in before][:_MOST_LISTED],
    }


def _change(each: Mapping[str, Any]) -> float:
    accuracy = each["accuracy"]
    return 0.0 if accuracy is None else float(accuracy["difference"])


def _of_pair(a: Result, b: Result, head: dict[str, Any]) -> dict[str, Any]:
    counts = (a["count"], b["count"])
    enough = min(counts) >= _LEAST_ROWS
    return head | {
        "count": list(counts),
        "accuracy": _json(_accuracy(a, b)) if enough else None,
        "mean_loss": _json(mean_difference(a, b, "mean_loss", counts)) if enough else None,
    }


def _accuracy(a: Result, b: Result) -> Difference | None:
    if a.get("accuracy") is None or b.get("accuracy") is None:
        return None
    hits = [round(each["accuracy"] * each["count"]) for each in (a, b)]
    return of_shares(hits[0], a["count"], hits[1], b["count"])


def mean_difference(a: Result, b: Result, name: str, counts: tuple[int, int]) -> Difference | None:
    """Of a mean that both results hold with its interval."""
    beside = "interval" if name == "mean" else f"{name}_interval"
    if any(each.get(key) is None for each in (a, b) for key in (name, beside)):
        return None
    return of_means(a[name], a[beside], counts[0], b[name], b[beside], counts[1])


def _json(found: Difference | None) -> dict[str, Any] | None:
    return None if found is None else found.as_json()
