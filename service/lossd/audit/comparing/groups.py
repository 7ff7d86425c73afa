"""Differences class by class and slice by slice, from the results of two reports."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.comparing.differences import (
    Difference,
    of_means,
    of_paired_numbers,
    of_paired_shares,
    of_shares,
)

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


def of_paired_classes(
    labels: NDArray[np.int64],
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    losses: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    name_of: Callable[[int], str],
    covered: NDArray[np.bool_],
    apart: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Of the classes of rows that both audits have, pair by pair; others as `apart` has them."""
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    found = []
    for k, rows in zip(classes.tolist(), np.split(order, starts[1:]), strict=True):
        if not covered[k]:
            continue
        head: dict[str, Any] = {
            "class": name_of(k),
            "count": [len(rows)] * 2,
            "accuracy": None,
            "mean_loss": None,
        }
        if len(rows) >= _LEAST_ROWS:
            head["accuracy"] = _json(_paired_accuracy(right[0][rows], right[1][rows]))
            if losses is not None:
                x, y = losses[0][rows], losses[1][rows]
                finite = np.isfinite(x).all() and np.isfinite(y).all()
                head["mean_loss"] = _json(of_paired_numbers(x, y)) if finite else None
        found.append(head)
    names = {each["class"] for each in found}
    found += [each for each in (apart or {}).get("listed", ()) if each["class"] not in names]
    only = ("only_baseline", "only_candidate")
    return _listed(found, "class") | {
        key: [each for each in (apart or {}).get(key, ()) if each not in names] for key in only
    }


def _paired_accuracy(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Difference | None:
    both, only_a, only_b = (int(each.sum()) for each in (a & b, a & ~b, b & ~a))
    return of_paired_shares(both, only_a, only_b, len(a) - both - only_a - only_b)


def _of_lists(a: Iterable[Result], b: Iterable[Result], key: str) -> dict[str, Any]:
    """Worst change first. `only_baseline`, `only_candidate`: listed in one report alone."""
    before, after = ({each[key]: each for each in some} for some in (a, b))
    shared = [name for name in before if name in after]
    found = [_of_two(before[name], after[name], {key: name}) for name in shared]
    return _listed(found, key) | {
        "only_baseline": [str(each) for each in before if each not in after][:_MOST_LISTED],
        "only_candidate": [str(each) for each in after if each not in before][:_MOST_LISTED],
    }


def _listed(found: list[dict[str, Any]], key: str) -> dict[str, Any]:
    found = sorted(found, key=lambda each: (_change(each), str(each[key])))
    return {"listed": found[:_MOST_LISTED], "compared": len(found), "least_rows": _LEAST_ROWS}


def _change(each: Mapping[str, Any]) -> float:
    accuracy = each["accuracy"]
    return 0.0 if accuracy is None else float(accuracy["difference"])


def _of_two(a: Result, b: Result, head: dict[str, Any]) -> dict[str, Any]:
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
