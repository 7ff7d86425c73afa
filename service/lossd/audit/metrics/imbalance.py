"""Unequal classes, on request: how unequal, what weighs against it, and who moves the model."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.metrics._words import quoted
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_BETA = 0.999  # the default of the loss class_balanced
_UNEQUAL = 10.0  # how many times the rows of the smallest class are a finding
_MOST_NAMED = 10


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    places = min(classes, setup.dense_classes) + 1  # the last is of all other classes
    return {"counts": Counts(places), "gradients": Sums(places)}


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    places = np.minimum(rows.labels, pieces["counts"].values.size - 1)
    pieces["counts"].add_at(places)
    pieces["gradients"].add(np.sqrt(rows.residual), places)


def _effective(count: int) -> float:
    """Effective number (Cui et al. 2019, proposition 1)."""
    return -math.expm1(count * math.log(_BETA)) / (1 - _BETA)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    counts = pieces["counts"].values.tolist()
    pulls = pieces["gradients"].values().tolist()
    others, rows, pull = counts.pop(), whole.rows, math.fsum(pulls)
    weights = [1 / _effective(count) if count else 0.0 for count in counts]
    present = [each for each in counts if each]
    unit = len(present) / math.fsum(weights) if present else 0.0
    classes = [
        {
            "class": whole.name_of(k),
            "count": count,
            "share": count / rows if rows else None,
            "effective_number": _effective(count),
            "weight": weights[k] * unit if count else None,
            "logit_adjustment": math.log(count / rows) if count else None,
            "gradient_share": pulls[k] / pull if pull else None,
        }
        for k, count in enumerate(counts)
    ]
    return {
        "beta": _BETA,
        "ratio": max(present) / min(present) if present else None,
        "without_rows": len(counts) - len(present),
        "classes": classes,
        "others": _others(whole, len(counts), others, pulls[-1] / pull if pull else None),
    }


def _others(whole: Whole, listed: int, count: int, share: float | None) -> dict[str, Any] | None:
    if listed == whole.classes:
        return None
    return {"classes": whole.classes - listed, "count": count, "gradient_share": share}


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    if result["ratio"] is not None and result["ratio"] >= _UNEQUAL:
        present = [each for each in result["classes"] if each["count"]]
        most = max(present, key=lambda each: each["count"])
        least = min(present, key=lambda each: each["count"])
        yield Finding(
            "unequal_classes",
            "info",
            f"Class {quoted(most['class'])} has {most['count']} rows, class "
            f"{quoted(least['class'])} {least['count']}: {result['ratio']:.1f} times as many. "
            f"Their shares of the gradient are {most['gradient_share'] or 0:.3f} and "
            f"{least['gradient_share'] or 0:.3f}.",
        )
    if whole.rows and result["without_rows"]:
        names = [quoted(each["class"]) for each in result["classes"] if not each["count"]]
        more = "" if len(names) <= _MOST_NAMED else ", ..."
        yield Finding(
            "classes_without_rows",
            "info",
            f"{result['without_rows']} of {whole.classes} classes are the label of no row: "
            f"{', '.join(names[:_MOST_NAMED])}{more}.",
            count=result["without_rows"],
        )


METRIC = Metric(
    name="imbalance",
    summary="How unequal classes are, weights and logit adjustments, gradient by class.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=(
        "unequal_classes",
        "classes_without_rows",
    ),
    default=False,
)
