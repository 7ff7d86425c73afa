"""Two audits side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.comparing import drift, groups
from lossd.audit.comparing.differences import (
    mid_p,
    of_paired_numbers,
    of_paired_shares,
    of_shares,
)
from lossd.audit.comparing.pairs import Pairs, pair, sample_of
from lossd.audit.comparing.words import sentences
from lossd.audit.report import report_of
from lossd.audit.state import State
from lossd.errors import BadOption

_EXAMPLES = 10


def compare(a: State, b: State) -> dict[str, Any]:
    """What changed from `a`, the baseline, to `b`, the candidate: JSON values.

    Rows that both have are found by their ids in the `sample` of each, and compared pair by pair
    where they are nearly all rows of both; else `accuracy` and `loss` are of all rows, as different
    ones (`paired` says which). `flips` are of rows that both have, however few.
    `all_rows` is of all rows of both, never paired. Raises `BadOption` where the two cannot be
    compared: other classes, no rows.
    """
    _check(a, b)
    results = report_of(a).results, report_of(b).results
    pairs = pair(a, b)
    same_loss = (a.setup.loss, a.setup.params) == (b.setup.loss, b.setup.params)
    all_rows = _of_all_rows(results, a.rows, b.rows, same_loss)
    found: dict[str, Any] = {
        "rows": {"baseline": a.rows, "candidate": b.rows},
        "classes": a.classes,
        "same_loss": same_loss,
        "pairing": dict(pairs.note),
        "accuracy": all_rows["accuracy"],
        "loss": all_rows["loss"],
        "confidence": None,
        "flips": None,
        "all_rows": all_rows,
        "per_class": groups.of_classes(*results),
        "slices": groups.of_slices(*results),
        "drift": drift.of_states(a, b),
        "class_shares": _class_shares(a, b),
    }
    if pairs.paired:
        assert a.classes is not None
        names = a.setup.classes or b.setup.classes
        found |= _of_pairs(pairs, same_loss, a.classes, names, found)
    return found | {"sentences": sentences(found)}


def _check(a: State, b: State) -> None:
    for name, each in (("baseline", a), ("candidate", b)):
        if not each.rows:
            raise BadOption(
                f"the {name} has no usable rows", at=name, expected="1 or more", got="0"
            )
    if a.classes != b.classes:
        raise BadOption(
            "audits of other classes cannot be compared",
            at="candidate.classes",
            expected=str(a.classes),
            got=str(b.classes),
        )
    names, others = a.setup.classes, b.setup.classes
    if names is not None and others is not None and names != others:
        k = next(i for i, each in enumerate(names) if each != others[i])
        raise BadOption(
            "audits of other classes cannot be compared",
            at=f"candidate.classes[{k}]",
            expected=names[k][:100],
            got=others[k][:100],
        )


def _of_pairs(
    pairs: Pairs,
    same_loss: bool,
    classes: int,
    names: Sequence[str] | None,
    apart: Mapping[str, Any],
) -> dict[str, Any]:
    """What pairs say; of accuracy, loss and confidence only where they stand for `apart`."""
    predicted, labels = pairs.columns("predicted"), pairs.columns("label")[0]
    right_a, right_b = (each == labels for each in predicted)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    both = int((right_a & right_b).sum())
    flips = {
        "changed": int((predicted[0] != predicted[1]).sum()),
        "right_to_wrong": _flips(pairs, right_a & ~right_b),
        "wrong_to_right": _flips(pairs, right_b & ~right_a),
    }
    if not pairs.covers:
        return {"flips": flips}
    shares = of_paired_shares(both, only_a, only_b, len(labels) - both - only_a - only_b)
    assert shares is not None
    accuracy = shares.as_json() | {
        "right_to_wrong": only_a,
        "wrong_to_right": only_b,
        "mid_p": mid_p(only_a, only_b),
    }
    confidence = of_paired_numbers(*pairs.columns("confidence"))
    loss = _loss(pairs) if same_loss else None
    return {
        "accuracy": accuracy if _fits(accuracy, apart["accuracy"]) else apart["accuracy"],
        "loss": loss if _fits(loss, apart["loss"]) else apart["loss"],
        "confidence": None if confidence is None else confidence.as_json(),
        "flips": flips,
        "per_class": groups.of_paired_classes(
            labels,
            (right_a, right_b),
            pairs.columns("loss") if same_loss else None,
            lambda k: str(k) if names is None else names[k],
            pairs.covered(classes),
            apart["per_class"],
        ),
    }


def _fits(paired: Mapping[str, Any] | None, apart: Mapping[str, Any] | None) -> bool:
    """Whether the few rows that are no pairs leave the change where pairs say that it is."""
    if paired is None or apart is None:
        return paired is not None
    low, high = paired["interval"]
    slack = 1e-9 * (abs(apart["baseline"]) + abs(apart["candidate"]))
    return bool(low - slack <= apart["difference"] <= high + slack)


def _loss(pairs: Pairs) -> dict[str, Any] | None:
    x, y = pairs.columns("loss")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None  # without some rows it would be of the others, and the worst would not count
    found = of_paired_numbers(x, y)
    return None if found is None else found.as_json() | {"infinite": 0}


def _flips(pairs: Pairs, which: NDArray[np.bool_]) -> dict[str, Any]:
    """How many, and the ids of those that the candidate is most sure of."""
    at = np.flatnonzero(which)
    sure = pairs.columns("confidence")[1][at]
    first = at[np.argsort(-sure, kind="stable")[:_EXAMPLES]]
    return {"count": len(at), "ids": pairs.ids[first].tolist()}


def _of_all_rows(
    results: tuple[Mapping[str, Any], Mapping[str, Any]], rows_a: int, rows_b: int, same_loss: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"accuracy": None, "loss": None}
    a, b = results
    if "accuracy" in a and "accuracy" in b:
        hits = [each["accuracy"]["top_1"]["correct"] for each in results]
        shares = of_shares(hits[0], rows_a, hits[1], rows_b)
        found["accuracy"] = None if shares is None else shares.as_json()
    if same_loss and "loss" in a and "loss" in b:
        counts = (rows_a - a["loss"]["infinite"], rows_b - b["loss"]["infinite"])
        means = groups.mean_difference(a["loss"], b["loss"], "mean", counts)
        found["loss"] = None if means is None else means.as_json()
    return found


def _class_shares(a: State, b: State) -> dict[str, Any]:
    samples = sample_of(a), sample_of(b)
    if samples[0] is None or samples[1] is None or a.classes is None:
        return {}
    names = a.setup.classes or b.setup.classes
    return {
        name: drift.of_classes(
            samples[0].column(name),
            samples[1].column(name),
            a.classes,
            None if names is None else list(names),
        )
        for name in ("label", "predicted")
    }
