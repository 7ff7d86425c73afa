"""Scores that tell unusual rows, on request: energy and the largest score.

Both are low where a row is unlike what the model knows. No row is known to be from elsewhere here:
right and wrong rows stand in for known and unknown ones.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.buckets import VALUE_ERROR, Buckets
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Kept, Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_CUT = 0.05  # the share of right rows that a threshold may cost
_FAR = 6.0  # how many quartile ranges below the lower quartile are far off
_LISTED = 10
_SCORES = ("negative_energy", "largest_score")


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for score in _SCORES:
        pieces |= {f"{score}_{side}": Buckets(signed=True) for side in ("right", "wrong")}
        pieces[f"{score}_lowest"] = Kept(_LISTED, {}, key=np.float64)
    return pieces


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    numbers = {"largest_score": rows.largest}
    if setup.scores == "logits":
        numbers["negative_energy"] = rows.log_sum_exp
    for score, each in numbers.items():
        pieces[f"{score}_right"].add(each[rows.correct])
        pieces[f"{score}_wrong"].add(each[~rows.correct])
        pieces[f"{score}_lowest"].add(each, rows.ids)


def _share(counts: NDArray[np.int64], below: NDArray[np.bool_]) -> float | None:
    total = int(counts.sum())
    return int(counts[below].sum()) / total if total else None


def _of_score(pieces: Pieces, score: str) -> dict[str, Any]:
    right, wrong = pieces[f"{score}_right"], pieces[f"{score}_wrong"]
    both = Buckets(signed=True)
    both.merge(right)
    both.merge(wrong)
    known = right if right.total else both
    place = int(np.searchsorted(np.cumsum(known.counts), _CUT * known.total))
    below = np.arange(len(both.counts)) < place
    edge = float(both.lows[place])
    return {
        "quantiles": both.quantiles(),
        "quantile_error": VALUE_ERROR,
        "histogram": both.histogram(),
        "right": {"count": right.total, "quantiles": right.quantiles()},
        "wrong": {"count": wrong.total, "quantiles": wrong.quantiles()},
        "threshold": {
            "value": edge if np.isfinite(edge) else None,
            "asked": _CUT,
            "share_below": _share(both.counts, below),
            "right_below": _share(right.counts, below),
            "wrong_below": _share(wrong.counts, below),
        },
        "far_below": _far_below(both, pieces[f"{score}_lowest"]),
    }


def _far_below(both: Buckets, lowest: Kept) -> dict[str, Any]:
    low, high = both.quantile(0.25), both.quantile(0.75)
    if low is None or high is None or not high > low:
        return {"limit": None, "count": 0, "ids": []}
    limit = low - _FAR * (high - low)
    ids = lowest.ids[lowest.column("key") < limit].tolist()
    count = int(both.counts[both.highs <= limit].sum())
    return {"limit": limit, "count": max(count, len(ids)), "ids": ids}


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    if whole.setup.scores == "logits":
        return {score: _of_score(pieces, score) for score in _SCORES}
    return {"negative_energy": None, "largest_score": _of_score(pieces, "largest_score")}


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    for score in _SCORES:
        far = None if result[score] is None else result[score]["far_below"]
        if far is not None and far["count"]:
            yield Finding(
                "far_from_the_others",
                "info",
                f"{far['count']} of {whole.rows} rows have a {score.replace('_', ' ')} below "
                f"{far['limit']:.4g}, more than {_FAR:g} quartile ranges under the lower quartile: "
                f"they may come from elsewhere.",
                tuple(far["ids"]),
                far["count"],
            )
            return


METRIC = Metric(
    name="out_of_distribution",
    summary="Energy and largest score: their distributions, and rows far below.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=("far_from_the_others",),
    default=False,
)
