"""Embeddings far from the others, on request: Mahalanobis distances in a sample of the rows.

Mean and covariance are of all rows, exactly. Distances need both, so that one pass can give them
of the rows that it kept only: those of a sample by the hash of the id.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.covariances import Covariances
from lossd.audit.metrics._spec import Finding, Metric, Pieces, Whole
from lossd.audit.pieces import Counts, Kept, Piece
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

_MOST_FEATURES = 256
_MOST_NUMBERS = 1 << 20  # of the sample
_FLAT = 1e-9  # an eigenvalue of less, of the largest, is a direction that no row goes
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_FAR = 6.0  # how many quartile ranges above the upper quartile are far off
_LISTED = 20


def _features(setup: Setup) -> int:
    return min(setup.embedding_size or 0, _MOST_FEATURES)


def _start(setup: Setup, classes: int) -> dict[str, Piece]:
    features = _features(setup)
    most = min(setup.most_sampled, _MOST_NUMBERS // max(features, 1))
    columns: dict[str, Any] = dict.fromkeys(_columns(features), np.float64)
    return {
        "moments": Covariances(features),
        "sample": Kept(most, columns, key=np.uint64),
        "not_finite": Counts(1),
    }


def _columns(features: int) -> list[str]:
    return [f"feature_{i}" for i in range(features)]


def _add(pieces: Pieces, rows: Rows, setup: Setup) -> None:
    if rows.embeddings is None:
        return
    x = rows.embeddings[:, : _features(setup)]
    finite = np.isfinite(x).all(1)
    pieces["not_finite"].values[0] += len(x) - np.count_nonzero(finite)
    x, ids, hashes = x[finite], rows.ids[finite], rows.hashes[finite]
    pieces["moments"].add(x)
    columns = {name: x[:, i] for i, name in enumerate(_columns(x.shape[1]))}
    pieces["sample"].add(hashes, ids, **columns)


def _distances(pieces: Pieces, features: int) -> tuple[NDArray[np.float64], int]:
    """Of the sample, and in how many directions the embeddings differ at all."""
    mean, covariance = pieces["moments"].mean(), pieces["moments"].covariance()
    sizes, directions = np.linalg.eigh(covariance)
    used = sizes > max(_FLAT * sizes[-1], 0.0)
    sample = pieces["sample"]
    x = np.stack([sample.column(name) for name in _columns(features)], axis=1) - mean
    scaled = x @ (directions[:, used] / np.sqrt(sizes[used]))
    return np.sqrt((scaled**2).sum(1)), int(np.count_nonzero(used))


def _finish(pieces: Pieces, whole: Whole) -> dict[str, Any]:
    features, sample = _features(whole.setup), pieces["sample"]
    rows, clipped = pieces["moments"].counts.values.tolist()
    result: dict[str, Any] = {
        "features": features,
        "of_features": whole.setup.embedding_size,
        "rows": rows,
        "not_finite": int(pieces["not_finite"].values[0]),
        "clipped": clipped,
        "sampled": len(sample),
        "complete": len(sample) == rows,
        "directions": None,
        "distances": None,
        "far": {"limit": None, "count": 0, "listed": []},
    }
    if rows < 2 or not features:
        return result
    distances, result["directions"] = _distances(pieces, features)
    quantiles = np.quantile(distances, _QUANTILES).tolist()
    result["distances"] = {
        "mean": float(distances.mean()),
        "maximum": float(distances.max()),
        "expected_mean_square": float(result["directions"]),
        "mean_square": float((distances**2).mean()),
        "quantiles": {str(q): x for q, x in zip(_QUANTILES, quantiles, strict=True)},
    }
    return result | {"far": _far(distances, sample, quantiles[2], quantiles[4])}


def _far(distances: NDArray[np.float64], sample: Kept, low: float, high: float) -> dict[str, Any]:
    if not high > low:
        return {"limit": None, "count": 0, "listed": []}
    limit = high + _FAR * (high - low)
    order = np.lexsort([np.arange(len(distances)), -distances])
    far = order[distances[order] > limit]
    ids, found = sample.ids[far[:_LISTED]].tolist(), distances[far[:_LISTED]].tolist()
    listed = [{"id": each, "distance": x} for each, x in zip(ids, found, strict=True)]
    return {"limit": limit, "count": len(far), "listed": listed}


def _findings(result: Mapping[str, Any], whole: Whole) -> Iterable[Finding]:
    if result["not_finite"]:
        yield Finding(
            "embeddings_not_finite",
            "warning",
            f"{result['not_finite']} of {whole.rows} rows have an embedding with NaN or infinite "
            f"numbers and are left out of the distances.",
            count=result["not_finite"],
        )
    far = result["far"]
    if far["count"]:
        share = "all" if result["complete"] else f"a sample of {result['sampled']}"
        worst = math.floor(far["listed"][0]["distance"] * 10) / 10
        yield Finding(
            "far_embeddings",
            "info",
            f"{far['count']} of {share} rows have an embedding far from the others: a Mahalanobis "
            f"distance above {far['limit']:.1f}, up to {worst:.1f}.",
            tuple(each["id"] for each in far["listed"][:10]),
            far["count"],
        )


METRIC = Metric(
    name="embedding_outliers",
    summary="Embeddings far from the others, by Mahalanobis distance, in a sample of the rows.",
    start=_start,
    add=_add,
    finish=_finish,
    findings=_findings,
    codes=(
        "embeddings_not_finite",
        "far_embeddings",
    ),
    default=False,
)
