"""Calibration by torchmetrics, netcal, scikit-learn and scipy."""

from typing import Any

import netcal
import numpy as np
import scipy
import sklearn
import torch
import torchmetrics
from netcal.metrics import ECE
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification.calibration_error import _ce_compute

from references._classifiers import Outputs, case, coarse, logits, probabilities, softmax

TORCHMETRICS = f"torchmetrics {torchmetrics.__version__}"
SKLEARN = f"scikit-learn {sklearn.__version__}"
SOURCE = (
    f"{TORCHMETRICS}, netcal {netcal.__version__}, {SKLEARN}, scipy {scipy.__version__}, float64"
)
BINS = 15


def errors(p: Any, labels: Any) -> dict[str, Any]:
    """Of rows whose number `BINS` divides, and whose confidences differ and are on no edge."""
    confidence, correct = torch.from_numpy(p.max(1)), torch.from_numpy(p.argmax(1) == labels)
    ranked = np.sort(p.max(1)).reshape(BINS, -1)
    assert (ranked[1:, 0] - ranked[:-1, -1]).min() > 1 / 7200, "take another seed"
    cuts = torch.from_numpy(np.concatenate([[0], (ranked[:-1, -1] + ranked[1:, 0]) / 2, [1]]))
    hot = np.eye(p.shape[1])[labels]
    ours = float(_ce_compute(confidence, correct, BINS))
    theirs = ECE(BINS).measure(p.max(1), correct.numpy().astype(int))
    assert abs(ours - theirs) < 1e-12
    by_class = [
        float(_ce_compute(torch.from_numpy(p[:, k].copy()), torch.from_numpy(hot[:, k]), BINS))
        for k in range(p.shape[1])
    ]
    return {
        "ece.equal_width_15": ours,
        "ece.equal_width_20": float(_ce_compute(confidence, correct, 20)),
        "ece.equal_mass_15": float(_ce_compute(confidence, correct, cuts)),
        "ece.debiased_l2": float(_ce_compute(confidence, correct, cuts, norm="l2", debias=True)),
        "ece.maximum": float(_ce_compute(confidence, correct, BINS, norm="max")),
        "ece.classwise": float(np.mean(by_class)),
        "brier.value": brier_score_loss(labels, p, scale_by_half=False),
        "mean_confidence": float(confidence.mean()),
        "accuracy": float(correct.double().mean()),
    }


def decomposed(p: Any, labels: Any) -> dict[str, Any]:
    """Of probabilities that are few enough for bins to hold one each."""
    hot = np.eye(p.shape[1])[labels]
    better = np.empty_like(hot)
    for k in range(p.shape[1]):
        better[:, k] = IsotonicRegression().fit(p[:, k], hot[:, k]).predict(p[:, k])
    value = brier_score_loss(labels, p, scale_by_half=False)
    left = float(((better - hot) ** 2).sum(1).mean())
    unknown = float(((hot.mean(0) - hot) ** 2).sum(1).mean())
    return {
        "brier.value": value,
        "brier.miscalibration": value - left,
        "brier.discrimination": unknown - left,
        "brier.uncertainty": unknown,
    }


def intervals(p: Any, labels: Any) -> list[Any]:
    """Clopper-Pearson's, of every bin that has rows."""
    confidence, correct = p.max(1), p.argmax(1) == labels
    place = np.ceil(confidence * BINS).astype(int) - 1
    found = []
    for i in range(BINS):
        inside = place == i
        if inside.any():
            hits, count = int(correct[inside].sum()), int(inside.sum())
            ends = binomtest(hits, count).proportion_ci(0.95, method="exact")
            found.append([i, count, float(confidence[inside].mean()), ends.low, ends.high])
    return found


def of(kind: str, outputs: Outputs) -> dict[str, Any]:
    p = softmax(outputs[0]) if kind == "logits" else outputs[0]
    expected = errors(p, outputs[1]) | {"intervals": intervals(p, outputs[1])}
    return case(SOURCE, outputs, kind, expected)


def cases() -> list[dict[str, Any]]:
    few = coarse(4, 60, 3)
    return [
        of("logits", logits(0, 60, 3, heat=2.0)),
        of("logits", logits(2, 60, 5)),
        of("probabilities", probabilities(2, 60, 2)),
        of("probabilities", probabilities(3, 60, 4)),
        case(f"{SKLEARN}, its isotonic regression", few, "probabilities", decomposed(*few)),
    ]
