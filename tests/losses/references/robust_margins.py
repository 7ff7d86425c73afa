"""smooth_hinge, ramp, savage, tangent, correntropy."""

from typing import Any

import numpy as np
from mpmath import mp, mpf
from sklearn.metrics import brier_score_loss

from references._mp import row_case, softplus
from references._torch import labels, randoms

S = ("scores",)
NEAR = {"scores": randoms(371, 6), "labels": [2 * x - 1 for x in labels(372, 2, 6)]}
CLOSE = {"scores": randoms(373, 6, low=-1.5, high=1.5), "labels": NEAR["labels"]}
FAR = {"scores": [0.5, 50.0, -120.0, 1e4, -1e4] * 2, "labels": [1] * 5 + [-1] * 5}
DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
EXTREME = f"{PAPER}: scores to 1e4"


def smooth_hinge() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        short, gamma = max(mpf(0), 1 - labels * scores), mpf(params.get("smoothing", 1.0))
        return short**2 / (2 * gamma) if short < gamma else short - gamma / 2

    return [
        row_case(f"smooth: {PAPER}", f, NEAR, wrt=S),
        row_case(f"smooth: {PAPER}", f, CLOSE, {"smoothing": 0.25}, wrt=S),
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(
            "by hand: both joints, where the gradient is continuous",
            f,
            {"scores": [1.0, 0.0], "labels": [1, -1]},
            wrt=S,
            kinks={"scores": [0.0, 1.0]},
        ),
    ]


def ramp() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return min(1 - mpf(params.get("floor", -1.0)), max(mpf(0), 1 - labels * scores))

    return [
        row_case(f"smooth: {PAPER}", f, NEAR, wrt=S),
        row_case(f"smooth: {PAPER}", f, CLOSE, {"floor": 0.25}, wrt=S),
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(
            "by hand: subgradient 0 at both kinks, by ruling",
            f,
            {"scores": [1.0, -1.0, 1.0], "labels": [1, 1, -1]},
            wrt=S,
            kinks={"scores": [0.0, 0.0, 0.0]},
        ),
    ]


def savage() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return mp.exp(-2 * softplus(labels * scores))

    near = row_case(
        f"smooth: {DIGITS}; mean checked with scikit-learn 1.9.1 brier_score_loss", f, NEAR, wrt=S
    )
    chances = 1 / (1 + np.exp(-np.array(NEAR["scores"])))
    theirs = brier_score_loss(NEAR["labels"], chances, pos_label=1)
    assert abs(theirs - sum(near["values"]) / 6) < 1e-12
    return [
        near,
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(f"smooth: {PAPER}: at 0", f, {"scores": [0.0, 0.0], "labels": [1, -1]}, wrt=S),
    ]


def tangent() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return (2 * mp.atan(labels * scores) - 1) ** 2

    return [
        row_case(f"smooth: {PAPER}", f, NEAR, wrt=S),
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(f"smooth: {PAPER}: at 0", f, {"scores": [0.0, 0.0], "labels": [1, -1]}, wrt=S),
    ]


def correntropy() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        two = 2 * mpf(params.get("width", 0.5)) ** 2
        return mp.expm1(-((1 - labels * scores) ** 2) / two) / mp.expm1(-1 / two)

    tiny = {"scores": [1.0, 1.0 - 2.0**-12, -1.0], "labels": [1, 1, -1]}
    return [
        row_case(f"smooth: {PAPER}", f, CLOSE, wrt=S),
        row_case(f"smooth: {PAPER}", f, NEAR, {"width": 2.0}, wrt=S),
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(f"smooth: {PAPER}: at the target and near it", f, tiny, wrt=S),
    ]


CASES = {
    "smooth_hinge": smooth_hinge,
    "ramp": ramp,
    "savage": savage,
    "tangent": tangent,
    "correntropy": correntropy,
}
