"""Label issues by cleanlab: which rows, how many, and the joint of labels and true classes."""

from typing import Any

import numpy as np
from cleanlab.count import (
    compute_confident_joint,
    estimate_joint,
    get_confident_thresholds,
    num_label_issues,
)
from cleanlab.experimental.label_issues_batched import LabelInspector
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

SOURCE = "cleanlab 2.9.0"


def _outputs(seed: int, rows: int, shares: list[float], skill: float, noise: float) -> Any:
    """Probabilities of a made-up model, and labels of which some are wrong."""
    random = np.random.default_rng(seed)
    classes = len(shares)
    truth = random.choice(classes, rows, p=shares)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += skill
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = random.random(rows) < noise
    labels = np.where(wrong, (truth + random.integers(1, classes, rows)) % classes, truth)
    return p, labels


def _case(about: str, p: Any, labels: Any) -> dict[str, Any]:
    scores = get_label_quality_scores(labels, p, method="self_confidence", adjust_pred_probs=False)
    lowest = np.flatnonzero(find_label_issues(labels, p, filter_by="low_self_confidence"))
    inspector = LabelInspector(num_class=p.shape[1], verbose=False, n_jobs=1)
    inspector.update_confident_thresholds(labels, p)
    everywhere = len(np.unique(labels)) == p.shape[1]
    inspector.score_label_quality(labels, p)
    return {
        "from": f"{SOURCE}: {about}",
        "probabilities": p.tolist(),
        "labels": labels.tolist(),
        "thresholds": get_confident_thresholds(labels, p).tolist(),
        "confident_joint": compute_confident_joint(labels, p, calibrate=False).tolist(),
        "joint": estimate_joint(labels, p).tolist(),
        "issues": np.flatnonzero(
            find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
        ).tolist(),
        "count": int(num_label_issues(labels, p)),
        # Of a class without rows it takes every row that predicts it for an issue.
        "count_by_argmax": int(inspector.get_num_issues(silent=True)) if everywhere else None,
        "lowest_self_confidence": lowest[np.argsort(scores[lowest], kind="stable")].tolist(),
    }


def cases() -> list[dict[str, Any]]:
    even = [0.25] * 4
    rare = [0.7, 0.2, 0.07, 0.03]
    sure, labels = _outputs(5, 40, even, 3.0, 0.2)
    sure = np.eye(4)[sure.argmax(1)]
    return [
        _case("balanced", *_outputs(1, 120, even, 2.0, 0.15)),
        _case("imbalanced", *_outputs(2, 200, rare, 2.0, 0.15)),
        _case("two classes", *_outputs(3, 80, [0.6, 0.4], 2.0, 0.1)),
        _case("a poor model", *_outputs(4, 120, even, 0.5, 0.1)),
        _case("all or nothing", sure, labels),
        _case("a class without rows", *_outputs(6, 90, [0.5, 0.5, 0.0], 0.7, 0.0)),
        _case("many imbalanced classes", *_outputs(7, 150, [0.5, *[0.05] * 10], 2.0, 0.1)),
    ]
