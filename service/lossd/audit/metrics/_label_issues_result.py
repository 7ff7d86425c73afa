"""What becomes of the counts of `label_issues`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import confident
from lossd.audit.confidence_bins import Bins
from lossd.audit.ids import hash_of
from lossd.audit.metrics._spec import Finding, Pieces, Whole
from lossd.audit.pieces import Kept
from lossd.audit.setup import IssueRanking, Setup

_MOST_SHOWN = 32  # classes of a matrix in the result
_MOST_PAIRS = 10
_MOST_EXAMPLES = 10
_TINY = 1e-300


def scores_of(
    ranking: IssueRanking,
    log_p: NDArray[np.float64],
    suggested: NDArray[np.float64],
    margin: NDArray[np.float64],
    residual: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How well a label fits a row, by a ranking: the lower, the more it is suspected.

    `suggested` is the probability of the suggested class. Of `posterior` it is the part that the
    row alone tells: what is known of the classes, `confident.doubts`, is to be taken away.
    """
    if ranking == "self_confidence":
        return log_p
    if ranking == "margin":
        return margin
    if ranking == "el2n":
        return -np.sqrt(residual)
    return log_p - np.log(np.maximum(suggested, _TINY))


def doubts_of(pieces: Pieces, whole: Whole) -> NDArray[np.float64] | None:
    """What the classes' confusions say against a label, where the ranking asks and it is known."""
    pairs = _pairs(pieces, whole, _counts_of(pieces, whole)[0])
    return _doubts(pairs, pieces["labels"].values, whole)


def _doubts(
    pairs: NDArray[np.float64] | None, labels: NDArray[np.int64], whole: Whole
) -> NDArray[np.float64] | None:
    if pairs is None or whole.setup.issue_ranking != "posterior":
        return None
    return confident.doubts(pairs, labels)


def bins_of(setup: Setup, classes: int) -> tuple[Bins, Bins | None]:
    """Bins of each class's confidence, and of each pair's, or None where pairs are too many."""
    by_class = Bins.within(setup.issue_cells // (2 * classes), classes, most_parts_bits=8)
    cells = setup.issue_cells // classes**2
    if not cells:
        return by_class, None
    return by_class, Bins.within(cells, classes, most_parts_bits=6)


def thresholds_of(pieces: Pieces) -> NDArray[np.float64]:
    """The mean probability of each class over rows of that label; 2 where there are none."""
    counts = pieces["labels"].values
    return confident.thresholds(pieces["probabilities"].exactly(), counts)


def _above(
    bins: Bins, counts: Sequence[NDArray[Any]], cuts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Rows at or above each class's cut, of (..., bins) each: fewest, estimated, most.

    Between the edges of a cut's bin rows are taken to be spread evenly.
    """
    places = [bins.place(cut) for cut in cuts.tolist()]
    edges = bins.edges()
    low, high = edges[:-1][places], edges[1:][places]
    shares = np.where(cuts > 1, 0.0, np.clip((high - cuts) / (high - low), 0.0, 1.0))
    fewest = np.array(
        [each[..., at + 1 :].sum(-1) for each, at in zip(counts, places, strict=True)]
    )
    inside = np.array([each[..., at] for each, at in zip(counts, places, strict=True)])
    inside[cuts > 1] = 0
    estimated = fewest + shares.reshape(-1, *[1] * (inside.ndim - 1)) * inside
    return fewest, estimated, fewest + inside


def _counts_of(pieces: Pieces, whole: Whole) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Rows by confident class and whether they are contradicted; and how many issues that is."""
    bins, _ = bins_of(whole.setup, whole.classes)
    counts: NDArray[np.int64] = pieces["by_class"].values
    cuts = thresholds_of(pieces) - confident.TOLERANCE
    fewest, estimated, most = _above(bins, list(counts), cuts)
    edges = bins.edges()
    doubted = counts.sum(1) * (1 - (edges[:-1] + edges[1:]) / 2)
    return estimated, {
        "count": round(float(estimated[:, 1].sum())),
        "count_bounds": [int(fewest[:, 1].sum()), int(most[:, 1].sum())],
        "most_by_any_rule": int(_above(bins, [counts[:, 1].sum(0)], cuts.min(keepdims=True))[2][0]),
        "contradicted": int(counts[:, 1].sum()),
        "expected_by_the_model": float(_above(bins, list(doubted), cuts)[1].sum()),
    }


def _pairs(
    pieces: Pieces, whole: Whole, by_class: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Rows by label and confident class; None where pairs were not counted.

    Coarse bins are put right by the classes' fine ones.
    """
    _, bins = bins_of(whole.setup, whole.classes)
    if bins is None:
        return None
    counts: NDArray[np.int64] = pieces["by_pair"].values
    cuts = thresholds_of(pieces) - confident.TOLERANCE
    found = _above(bins, list(counts.transpose(1, 0, 2)), cuts)[1].T.copy()
    right = np.diagonal(found).copy()
    wrong = found.sum(0) - right
    found *= by_class[:, 1] / np.where(wrong > 0, wrong, 1.0)
    np.fill_diagonal(found, by_class[:, 0])
    return found


def result_of(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    """The metric's result."""
    by_class, result = _counts_of(pieces, whole)
    pairs = _pairs(pieces, whole, by_class)
    labels = pieces["labels"].values
    kept: Kept = pieces["suspects"]
    complete = result["count"] <= len(kept)
    score = scores_of_kept(kept, _doubts(pairs, labels, whole))
    which = np.argsort(score, kind="stable")[: result["count"]]
    means = [each if each <= 1 else None for each in thresholds_of(pieces).tolist()]
    return result | {
        "share": result["count"] / max(whole.rows, 1),
        "rule": "argmax",
        "ranking": whole.setup.issue_ranking,
        "thresholds": means if whole.classes <= whole.setup.dense_classes else None,
        **_confusions(pairs, by_class, labels, whole),
        "listed": _listed(kept, which, score, whole),
        "complete": complete,
        "bound": whole.setup.most_listed,
        "review": _review(pieces, which if complete else None, whole),
    }


def scores_of_kept(kept: Kept, doubts: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Of the rows in the list of suspects, in its order: the lower, the more suspected."""
    score = kept.column("key")
    if doubts is None:
        return score
    found: NDArray[np.float64] = score - doubts[kept.column("label"), kept.column("predicted")]
    return found


def _confusions(
    pairs: NDArray[np.float64] | None,
    by_class: NDArray[np.float64],
    labels: NDArray[np.int64],
    whole: Whole,
) -> dict[str, Any]:
    if pairs is None:
        total = by_class.sum()
        rate = float(by_class[:, 1].sum() / total) if total else None
        nothing = {"joint": None, "transitions": None, "most_mislabelled": None}
        return {"noise_rate": rate, "noise_rate_calibrated": False, **nothing}
    shares = confident.joint(pairs, labels)
    is_shown = whole.classes <= _MOST_SHOWN
    issues = pairs.copy()
    np.fill_diagonal(issues, 0.0)
    order = np.argsort(-issues, axis=None, kind="stable")[:_MOST_PAIRS]
    most = [
        {
            "label": whole.name_of(int(i)),
            "suggested": whole.name_of(int(j)),
            "count": round(float(issues[i, j])),
            "share_of_label": float(issues[i, j] / labels[i]),
        }
        for i, j in zip(*np.unravel_index(order, issues.shape), strict=True)
        if issues[i, j] >= 0.5
    ]
    return {
        "noise_rate": confident.noise_rate(shares) if whole.rows else None,
        "noise_rate_calibrated": True,
        "joint": shares.tolist() if is_shown else None,
        "transitions": confident.transitions(shares).tolist() if is_shown else None,
        "most_mislabelled": most,
    }


def _listed(
    kept: Kept, which: NDArray[np.int64], scores: NDArray[np.float64] | None, whole: Whole
) -> list[dict[str, Any]]:
    """Some of the rows, in an order."""
    columns = ("label", "predicted", "probability", "confidence")
    rows = zip(*(kept.column(name)[which].tolist() for name in columns), strict=True)
    found = [
        {
            "id": id_,
            "label": whole.name_of(label),
            "suggested": whole.name_of(predicted),
            "probability": probability,
            "suggested_probability": confidence,
        }
        for id_, (label, predicted, probability, confidence) in zip(
            kept.ids[which].tolist(), rows, strict=True
        )
    ]
    if scores is not None:
        for each, score in zip(found, scores[which].tolist(), strict=True):
            each["score"] = score if score > -math.inf else None
    return found


def _review(pieces: Pieces, listed: NDArray[np.int64] | None, whole: Whole) -> dict[str, Any]:
    """Rows for a person to judge, at random: of those listed, if these are all; else of issues."""
    most = whole.setup.most_reviewed
    kept: Kept = pieces["suspects" if listed is not None else "review"]
    if listed is not None:
        which = listed[np.argsort(hash_of(kept.ids[listed]), kind="stable")[:most]]
    else:
        cuts = thresholds_of(pieces) - confident.TOLERANCE
        which = np.flatnonzero(kept.column("confidence") >= cuts[kept.column("predicted")])[:most]
    of = "flagged" if listed is None else "listed"
    return {"of": of, "bound": most, "rows": _listed(kept, which, None, whole)}


def findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    """Issues, where they are more than the model's own doubts, or a hundredth of the rows."""
    count, expected = result["count"], result["expected_by_the_model"]
    lowest = result["count_bounds"][0]
    is_more = lowest > 2 * expected + 3 * math.sqrt(expected) and lowest >= 3
    if not (is_more and count >= 0.001 * whole.rows) and count < 0.01 * whole.rows:
        return
    sentence = f"{count} of {whole.rows} rows ({result['share']:.1%}) look mislabelled"
    if most := result["most_mislabelled"]:
        pair = most[0]
        sentence += f"; most often {pair['suggested']} is labelled {pair['label']}"
        sentence += f" ({pair['count']})"
    sentence += f". The model's own doubts account for {expected:.0f} such rows"
    sentence += ": its labels are wrong, or it is overconfident." if is_more else "."
    ids = tuple(each["id"] for each in result["listed"][:_MOST_EXAMPLES])
    yield Finding("mislabelled_rows", "warning" if is_more else "info", sentence, ids, count)
