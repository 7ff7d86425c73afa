"""Reports in the shape of the metrics' results, as large and as odd as one likes."""

from typing import Any

import numpy as np

from lossd.audit.intervals import of_mean, wilson
from lossd.audit.metrics import Finding
from lossd.audit.report import Gated, Report
from lossd.audit.setup import Setup

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def _shape(values: Any, bins: int) -> dict[str, Any]:
    counts, edges = np.histogram(values, bins, (values.min(), np.quantile(values, 0.99)))
    counts, edges = [*counts.tolist(), int((values > edges[-1]).sum())], edges.tolist()
    quantiles = {str(each): float(np.quantile(values, each)) for each in QUANTILES}
    return {
        "mean": float(values.mean()),
        "quantiles": quantiles,
        "histogram": {"edges": [*edges, float(values.max())], "counts": counts},
    }


def _loss(values: Any, bins: int) -> dict[str, Any]:
    mean, variance = float(values.mean()), float(values.var())
    return {
        "loss": "cross_entropy",
        **_shape(values, bins),
        "interval": of_mean(mean, variance, len(values)),
        "standard_deviation": variance**0.5,
        "infinite": 0,
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "weighted_mean": None,
        "quantile_error": 0.0078,
    }


def _group(correct: Any, loss: Any) -> dict[str, Any]:
    n, hits = len(correct), int(correct.sum())
    return {
        "count": n,
        "accuracy": hits / n if n else None,
        "accuracy_interval": wilson(hits, n),
        "mean_loss": float(loss.mean()) if n else None,
        "mean_loss_interval": of_mean(float(loss.mean()), float(loss.var()), n) if n else None,
    }


def _gap(off: Any) -> dict[str, Any]:
    mean = float(off.mean())
    return {"value": mean, "interval": of_mean(mean, float(off.var()), len(off))}


def _calibration(confidence: Any, correct: Any) -> dict[str, Any]:
    bins = []
    which = np.minimum((confidence * 15).astype(int), 14)
    for i in range(15):
        here = which == i
        n, hits = int(here.sum()), int(correct[here].sum())
        bins.append(
            {
                "low": i / 15,
                "high": (i + 1) / 15,
                "count": n,
                "confidence": float(confidence[here].mean()) if n else None,
                "accuracy": hits / n if n else None,
                "interval": wilson(hits, n),
            }
        )
    gaps = [b["count"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["count"]]
    error = sum(gaps) / len(confidence)
    return {
        "ece": {
            "equal_width_15": error,
            "equal_mass_15": error,
            "classwise": error / 4,
            "debiased_l2": error,
        },
        "brier": {
            "value": 0.21,
            "miscalibration": 0.004,
            "discrimination": 0.7,
            "uncertainty": 0.9,
        },
        "mean_confidence": float(confidence.mean()),
        "accuracy": float(correct.mean()),
        "gap": _gap(confidence - correct),
        "bins": bins,
    }


def made_up(
    classes: int = 10,
    rows: int = 5_000,
    *,
    names: tuple[str, ...] | None = None,
    word: str = "",
    slices: int = 3,
    values: int = 12,
    listed: int = 200,
    findings: int = 3,
    gates: int = 4,
    bins: int = 40,
) -> Report:
    """A report of made-up rows. `word` is in every name, id and sentence."""
    random = np.random.default_rng(7)
    names = names or tuple(f"{word}{i}" for i in range(classes))
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 3.0
    logits *= 1.3
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = probabilities.argmax(1)
    correct, confidence = predicted == labels, probabilities.max(1)
    loss = -np.log(probabilities[np.arange(rows), labels])
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    off = counts - np.diag(np.diag(counts))
    worst = [divmod(int(i), classes) for i in np.argsort(-off, axis=None)[:20]]
    hits = int(correct.sum())
    entropy = -(probabilities * np.log(probabilities)).sum(1)

    def slice_of(values_: int) -> dict[str, Any]:
        which = random.integers(0, values_, rows)
        return {
            "values": [
                {
                    "value": f"{word}value {i}",
                    **_group(correct[which == i], loss[which == i]),
                    "p_value": 0.0001 if i == 3 else 0.4,
                    "rejected": i == 3,
                }
                for i in range(values_)
            ],
            "others": None,
        }

    results: dict[str, Any] = {
        "rows": {"seen": rows, "used": rows, "rejected": {}},
        "accuracy": {
            "top_1": {"value": hits / rows, "correct": hits, "interval": wilson(hits, rows)}
        },
        "loss": _loss(loss, bins),
        "distributions": {
            "margin": _shape(2 * confidence - 1, bins),
            "confidence": _shape(confidence, bins),
            "entropy": _shape(entropy, bins),
        },
        "calibration": _calibration(confidence, correct),
        "confusion": {
            "dense": True,
            "counts": counts.tolist(),
            "most_confused": [
                {
                    "label": names[i],
                    "predicted": names[j],
                    "count": int(off[i, j]),
                    "share": float(off[i, j] / max(counts[i].sum(), 1)),
                }
                for i, j in worst
                if off[i, j]
            ],
        },
        "per_class": {
            "classes": [
                {
                    "class": names[i],
                    **_group(correct[labels == i], loss[labels == i]),
                    "precision": 0.9,
                    "recall": 0.9,
                    "f1": 0.9,
                    "mean_confidence": 0.93,
                }
                for i in range(classes)
            ]
        },
        "label_issues": {
            "count": 3 * listed,
            "noise_rate": 0.031,
            "thresholds": [0.8] * classes,
            "rule": "cleanlab",
            "ranking": "margin",
            "listed": [
                {
                    "id": f"{word}row {i}",
                    "label": names[i % classes],
                    "suggested": names[(i * i + 1) % classes],
                    "score": -0.99 + i / 1000,
                    "probability": 0.001 + i * 1e-5,
                }
                for i in range(listed)
            ],
            "complete": False,
            "bound": 10_000,
        },
        "per_slice": {
            "columns": {f"{word}column {i}": slice_of(values) for i in range(slices)},
            "false_discovery_rate": 0.05,
        },
    }
    severities = ("error", "warning", "info")
    verdicts = ("pass", "fail", "warn", "inconclusive")
    return Report(
        Setup(classes=names, slices=tuple(f"{word}column {i}" for i in range(slices))).model_dump(
            mode="json"
        ),
        classes,
        rows,
        results,
        tuple(
            Finding(
                "made_up",
                severities[i % 3],  # type: ignore[arg-type]
                f"{word}{i + 1} rows have labels that look wrong.",
                (f"{word}row 1", 2),
                7,
            )
            for i in range(findings)
        ),
        tuple(
            Gated(
                f"{word}accuracy.top_1.value",
                verdicts[i % 4],  # type: ignore[arg-type]
                f"{word} The accuracy is 0.93, and must be at least 0.9.",
                0.93,
                0.9,
                (0.92, 0.94),
            )
            for i in range(gates)
        ),
        None,
        {"seconds": 1.25, f"{word}file": "predictions.parquet"},
    )
