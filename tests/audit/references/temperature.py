"""The temperature of least loss, by scipy."""

from typing import Any

import numpy as np
import scipy
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from references._classifiers import case, logits

SOURCE = f"scipy {scipy.__version__}, minimize_scalar"


def of(seed: int, rows: int, classes: int, heat: float) -> dict[str, Any]:
    z, labels = logits(seed, rows, classes, heat=heat)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(z / np.exp(log_temperature), axis=1)
        return float(-log_p[np.arange(rows), labels].mean())

    best = minimize_scalar(loss, bounds=(-2.7, 2.7), options={"xatol": 1e-12})
    expected = {
        "temperature": float(np.exp(best.x)),
        "loss_after": float(best.fun),
        "loss_before": loss(0.0),
    }
    return case(SOURCE, (z, labels), "logits", expected)


def cases() -> list[dict[str, Any]]:
    return [of(0, 60, 3, 1.0), of(1, 60, 4, 2.0), of(2, 80, 3, 0.3), of(3, 40, 10, 4.0)]
