"""Other losses on these very outputs, on request: how large, and whose gradient they follow."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.closed_forms import LOSSES, OF_CLASS_COUNTS, closed_forms
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.pieces.sums import MOST
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup
from lossd.errors import BadOption

_MARGIN = -0.5  # a row of a margin below is suspected: another class is far more probable
_HEAVY = 0.5  # the share of the gradient on suspected rows that is a finding


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    if setup.class_counts is not None and len(setup.class_counts) != classes:
        got = str(len(setup.class_counts))
        at, expected = "class_counts", f"{classes} classes"
        raise BadOption("not the classes of the scores", at=at, expected=expected, got=got)
    places = min(classes, setup.dense_classes) + 1  # the last is of all other classes
    pieces: dict[str, Piece] = {"suspected": Counts(2), "infinite": Counts(len(LOSSES))}
    for name in LOSSES:
        if setup.class_counts is not None or name not in OF_CLASS_COUNTS:
            pieces[f"value_{name}"] = Sums(2)
            pieces[f"norm_{name}"] = Sums(places)
            pieces[f"suspected_{name}"] = Sums(1)
    return pieces


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    suspected = rows.margin < _MARGIN
    pieces["suspected"].add_at(suspected.astype(np.int64))
    for name, (value, norm) in closed_forms(rows, setup).items():
        finite = np.abs(value) < MOST
        place = list(LOSSES).index(name)
        pieces["infinite"].values[place] += len(rows) - np.count_nonzero(finite)
        pieces[f"value_{name}"].add(value[finite], suspected[finite].astype(np.int64))
        sums = pieces[f"norm_{name}"]
        sums.add(norm, np.minimum(rows.labels, len(sums.limbs) - 1))
        pieces[f"suspected_{name}"].add(norm[suspected])


def _of_loss(name: str, pieces: Pieces, whole: Whole) -> dict[str, Any]:
    norms = pieces[f"norm_{name}"].values().tolist()
    infinite = int(pieces["infinite"].values[list(LOSSES).index(name)])
    pull, rows = math.fsum(norms), whole.rows
    of_suspected = float(pieces[f"suspected_{name}"].values()[0])
    mean = sum(pieces[f"value_{name}"].exactly()) / rows if rows and not infinite else None
    return {
        "loss": name,
        "params": LOSSES[name],
        "mean_loss": None if mean is None else float(mean),
        "infinite": infinite,
        "mean_gradient_norm": pull / rows if rows else None,
        "gradient_share_of_suspected": of_suspected / pull if pull else None,
        "gradient_share_by_class": [each / pull if pull else None for each in norms[:-1]],
        "gradient_share_of_other_classes": (norms[-1] / pull) if pull else None,
    }


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    count = int(pieces["suspected"].values[1])
    present = [name for name in LOSSES if f"value_{name}" in pieces]
    reason = "It needs class_counts, of the training set."
    return {
        "suspected": {
            "rule": f"margin below {_MARGIN:g}",
            "count": count,
            "share": count / whole.rows if whole.rows else None,
        },
        "losses": [_of_loss(name, pieces, whole) for name in present],
        "skipped": [{"loss": name, "reason": reason} for name in LOSSES if name not in present],
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    by_name = {each["loss"]: each["gradient_share_of_suspected"] for each in result["losses"]}
    now, then = by_name["cross_entropy"], by_name["generalized_cross_entropy"]
    suspected = result["suspected"]
    if now is not None and then is not None and now > _HEAVY:
        yield Finding(
            "gradient_on_suspected_rows",
            "info",
            f"Rows whose label is far less probable than another class are "
            f"{100 * suspected['share']:.1f} % of all and have {100 * now:.0f} % of the gradient "
            f"of cross_entropy; of generalized_cross_entropy they would have {100 * then:.0f} %.",
            count=suspected["count"],
        )


METRIC = Metric(
    name="what_if",
    summary="Other losses on these outputs: mean loss, gradient by class and on suspected rows.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("gradient_on_suspected_rows",),
    default=False,
)
