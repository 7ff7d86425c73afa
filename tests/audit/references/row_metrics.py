"""Losses, confusion, classes and slices by scikit-learn, scipy, statsmodels and numpy."""

from typing import Any

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy, fisher_exact
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

SOURCE = "scikit-learn 1.9.1, scipy 1.17.1, statsmodels 0.15.0, numpy 2.4.6"


def _by_class(p: Any, labels: Any, predicted: Any, losses: Any) -> dict[str, Any]:
    names = list(range(p.shape[1]))
    precision, recall, f1, count = precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=0
    )
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    length = np.linalg.norm(p - np.eye(p.shape[1])[labels], axis=1)
    own = [labels == name for name in names]
    return {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "count": count.tolist(),
        "accuracy_interval": [
            list(proportion_confint((predicted == labels)[each].sum(), each.sum(), method="wilson"))
            for each in own
        ],
        "mean_loss": [losses[each].mean() for each in own],
        "mean_loss_interval": [list(DescrStatsW(losses[each]).zconfint_mean()) for each in own],
        "mean_confidence": [p[each].max(1).mean() for each in own],
        "macro": list(macro[:3]),
        "share_of_gradient": [length[each].sum() / length.sum() for each in own],
        "mean_el2n": length.mean(),
    }


def _by_slice(column: Any, labels: Any, predicted: Any, losses: Any) -> dict[str, Any]:
    right = predicted == labels
    found: dict[str, Any] = {}
    for value in sorted(set(column)):
        own = column == value
        table = [[right[own].sum(), (~right)[own].sum()], [right[~own].sum(), (~right)[~own].sum()]]
        found[value] = {
            "count": int(own.sum()),
            "accuracy": accuracy_score(labels[own], predicted[own]),
            "mean_loss": losses[own].mean(),
            "mean_loss_interval": list(DescrStatsW(losses[own]).zconfint_mean()),
            "p_value": float(fisher_exact(table).pvalue),
        }
    rejected, corrected, _, _ = multipletests(
        [each["p_value"] for each in found.values()], 0.05, "fdr_bh"
    )
    for each, is_rejected, p in zip(found.values(), rejected, corrected, strict=True):
        each["rejected"], each["adjusted_p_value"] = bool(is_rejected), float(p)
    return found


def _case(about: str, seed: int, shares: list[float]) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    classes, rows = len(shares), 240
    labels = random.choice(classes, rows, p=shares)
    column = np.array(["a", "b", "c", "d"])[random.integers(0, 4, rows)]
    logits = random.normal(size=(rows, classes)) + 2 * np.log(shares) / np.log(10)
    logits[np.arange(rows), labels] += np.where(column == "b", 0.3, 2.5)
    logits = logits.round(3)
    weights = random.exponential(size=rows).round(3)
    p = softmax(logits, axis=1)
    losses = -np.log(p[np.arange(rows), labels])
    predicted = logits.argmax(1)
    others = np.where(np.eye(classes, dtype=bool)[labels], -np.inf, p).max(1)
    return {
        "from": f"{SOURCE}: {about}",
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "weights": weights.tolist(),
        "slice": column.tolist(),
        "mean_loss": log_loss(labels, p, labels=list(range(classes))),
        "mean_loss_interval": list(DescrStatsW(losses).zconfint_mean()),
        "standard_deviation": losses.std(ddof=1),
        "weighted_mean_loss": log_loss(
            labels, p, sample_weight=weights, labels=list(range(classes))
        ),
        "loss_quantiles": {
            str(q): np.quantile(losses, q, method="inverted_cdf")
            for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        },
        "mean_confidence": p.max(1).mean(),
        "mean_entropy": entropy(p, axis=1).mean(),
        "mean_margin": (p[np.arange(rows), labels] - others).mean(),
        "confusion": confusion_matrix(labels, predicted, labels=list(range(classes))).tolist(),
        "by_class": _by_class(p, labels, predicted, losses),
        "by_slice": _by_slice(column, labels, predicted, losses),
    }


def cases() -> list[dict[str, Any]]:
    """Outputs with what is found of them by others."""
    return [
        _case("four classes alike", 0, [0.25] * 4),
        _case("a rare class", 1, [0.55, 0.35, 0.1]),
    ]
