"""The loss: its mean with an interval, and how it is distributed."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lossd.audit.buckets import VALUE_ERROR, Buckets
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.moments import moments, of_losses
from lossd.audit.pieces import Counts, Kept, Piece, Sums
from lossd.audit.row_losses import MEASURED
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_EXAMPLES = 10
_INFINITE, _UNDEFINED = 0, 1


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    # Some losses have values below 0.
    return {
        "buckets": Buckets(signed=setup.loss != MEASURED),
        "total": Sums(1),
        "squares": Sums(1),
        "weighted": Sums(1),
        "weights": Sums(1),
        "without": Counts(2),
        "infinite_ids": Kept(_EXAMPLES, {}, key=np.uint64),
    }


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    loss, finite = rows.loss, rows.finite_loss
    if not rows.has_loss.all():
        undefined = np.isnan(loss)
        infinite = ~rows.has_loss & ~undefined
        pieces["without"].values += [np.count_nonzero(infinite), np.count_nonzero(undefined)]
        pieces["infinite_ids"].add(rows.hashes[infinite], rows.ids[infinite])
        loss = loss[~undefined]
    pieces["buckets"].add(loss)
    pieces["total"].add(finite)
    pieces["squares"].add(rows.squared_loss)
    if rows.weights is not None:
        pieces["weighted"].add(finite * rows.weights)
        pieces["weights"].add(rows.weights)


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    infinite, undefined = pieces["without"].values.tolist()
    finite = whole.rows - infinite - undefined
    (total,), (squares,) = pieces["total"].exactly(), pieces["squares"].exactly()
    found = of_losses(whole.rows, finite, total, squares)
    buckets = pieces["buckets"]
    (weighted,), (weights,) = pieces["weighted"].exactly(), pieces["weights"].exactly()
    return {
        "loss": whole.setup.loss,
        "mean": found.mean,
        "interval": found.interval,
        "standard_deviation": found.standard_deviation,
        "infinite": infinite,
        "undefined": undefined,
        "infinite_ids": pieces["infinite_ids"].ids.tolist(),
        "mean_of_finite": moments(finite, total, squares).mean,
        "minimum": buckets.minimum,
        "maximum": None if infinite else buckets.maximum,
        "weighted_mean": float(weighted / weights) if weights and finite == whole.rows else None,
        "quantiles": buckets.quantiles(),
        "quantile_error": VALUE_ERROR,
        "histogram": buckets.histogram(),
    }


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    if count := result["infinite"]:
        sentence = (
            f"{count} of {whole.rows} rows have an infinite loss, or one beyond all reason: their"
            " label was given no chance, and there is no mean loss."
        )
        yield Finding("infinite_loss", "warning", sentence, tuple(result["infinite_ids"]), count)
    if count := result["undefined"]:
        sentence = f"The loss of {count} of {whole.rows} rows is not defined; it has no mean."
        yield Finding("undefined_loss", "warning", sentence, (), count)


METRIC = Metric(
    name="loss",
    summary="Mean of the loss with its interval, extremes, quantiles and histogram.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=(
        "infinite_loss",
        "undefined_loss",
    ),
)
