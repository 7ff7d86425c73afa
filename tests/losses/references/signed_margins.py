"""perceptron, soft_margin, exponential, modified_huber, margin_ranking, multiclass_perceptron."""

from typing import Any

import numpy as np
import optax
import torch.nn.functional as F
from mpmath import mp, mpf
from sklearn._loss.loss import ExponentialLoss
from sklearn.linear_model._sgd_fast import ModifiedHuber

from references._jax import jax_case
from references._mp import row_case, softplus
from references._torch import labels, randoms, torch_case

S = ("scores",)
NEAR = {"scores": randoms(301, 6), "labels": [2 * x - 1 for x in labels(302, 2, 6)]}
FAR = {"scores": [0.5, 50.0, -120.0, 1e4, -1e4] * 2, "labels": [1] * 5 + [-1] * 5}
DIGITS = "mpmath 1.3.0, 50 digits"
EXTREME = f"{DIGITS}: scores to 1e4"


def perceptron() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return max(mpf(0), -labels * scores)

    return [
        jax_case(
            "smooth: optax 0.2.8 perceptron_loss",
            lambda scores, labels: optax.losses.perceptron_loss(scores, labels),
            NEAR,
            wrt=S,
        ),
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(
            "by hand: subgradient 0 at 0, by ruling",
            f,
            {"scores": [0.0, 0.0], "labels": [1, -1]},
            wrt=S,
            kinks={"scores": [0.0, 0.0]},
        ),
    ]


def soft_margin() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return softplus(-labels * scores)

    return [
        torch_case(
            "smooth: torch 2.13.0 F.soft_margin_loss",
            lambda scores, labels: F.soft_margin_loss(scores, labels.double(), reduction="none"),
            NEAR,
            wrt=S,
        ),
        row_case(EXTREME + ", where torch's is infinite", f, FAR, wrt=S),
        row_case(
            f"smooth: {DIGITS}: near 0", f, {"scores": [0.0, 2.0**-20], "labels": [1, -1]}, wrt=S
        ),
    ]


def exponential() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        return mp.exp(-labels * scores)

    case = row_case(
        f"smooth: {DIGITS}; checked with scikit-learn 1.9.1 ExponentialLoss", f, NEAR, wrt=S
    )
    y, s = (np.array(NEAR[key], dtype=np.float64) for key in ("labels", "scores"))
    values, slopes = ExponentialLoss().loss_gradient((y + 1) / 2, s)
    np.testing.assert_allclose(values, case["values"], rtol=1e-12)
    np.testing.assert_allclose(slopes, case["gradients"]["scores"], rtol=1e-12)
    return [
        case,
        row_case(
            f"{DIGITS}: scores to 80",
            f,
            {"scores": [80.0, -80.0, 0.0, 1e4], "labels": [1, 1, -1, 1]},
            wrt=S,
        ),
        {
            "from": "by hand: e to the 1e4 is beyond float64",
            "inputs": {"scores": [1e4, -1e4], "labels": [-1, 1]},
            "params": {},
            "values": ["Infinity", "Infinity"],
            "gradients": {"scores": ["Infinity", "-Infinity"]},
        },
    ]


def modified_huber() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, labels: Any) -> Any:
        margin = labels * scores
        return max(mpf(0), 1 - margin) ** 2 if margin >= -1 else -4 * margin

    case = row_case(
        f"smooth: {DIGITS}; checked with scikit-learn 1.9.1 ModifiedHuber", f, NEAR, wrt=S
    )
    theirs = ModifiedHuber()
    for i, (s, y) in enumerate(zip(NEAR["scores"], NEAR["labels"], strict=True)):
        assert abs(theirs.py_loss(s, float(y)) - case["values"][i]) < 1e-12
        assert abs(theirs.py_dloss(s, float(y)) - case["gradients"]["scores"][i]) < 1e-12
    return [
        case,
        row_case(EXTREME, f, FAR, wrt=S),
        row_case(
            "by hand: both joints, where the gradient is continuous",
            f,
            {"scores": [1.0, -1.0, 1.0], "labels": [1, 1, -1]},
            wrt=S,
            kinks={"scores": [0.0, -4.0, 4.0]},
        ),
    ]


def margin_ranking() -> list[dict[str, Any]]:
    def f(params: Any, first: Any, second: Any, labels: Any) -> Any:
        return max(mpf(0), mpf(params.get("margin", 0.0)) - labels * (first - second))

    def plain(margin: float) -> Any:
        return lambda first, second, labels: F.margin_ranking_loss(
            first, second, labels, margin=margin, reduction="none"
        )

    pairs = {"first": randoms(303, 3, 2), "second": randoms(304, 3, 2)}
    pairs["labels"] = [[1, -1], [1, 1], [-1, -1]]
    both = ("first", "second")
    far = {
        "first": [1e4, -1e4, 120.0, 50.0],
        "second": [-1e4, 1e4, 119.0, 50.5],
        "labels": [1, 1, -1, -1],
    }
    return [
        torch_case("smooth: torch 2.13.0 F.margin_ranking_loss", plain(0.0), pairs, wrt=both),
        torch_case(
            "smooth: torch 2.13.0 F.margin_ranking_loss, margin",
            plain(0.75),
            pairs,
            {"margin": 0.75},
            wrt=both,
        ),
        row_case(EXTREME, f, far, {"margin": 0.25}, wrt=both),
        row_case(
            "by hand: subgradient 0 at the margin, by ruling",
            f,
            {"first": [2.0, 1.0], "second": [1.0, 2.0], "labels": [1, -1]},
            {"margin": 1.0},
            wrt=both,
            kinks={"first": [0.0, 0.0], "second": [0.0, 0.0]},
        ),
    ]


def multiclass_perceptron() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        return max(logits) - logits[labels]

    near = {"logits": randoms(305, 4, 3), "labels": labels(306, 3, 4)}
    far = {"logits": [[50.0, -50.0, 0.0], [120.0, 1e4, -120.0], [-1e4, 1e4, 0.0]]}
    far["labels"] = [1, 0, 0]
    return [
        jax_case(
            "smooth: optax 0.2.8 multiclass_perceptron_loss",
            lambda logits, labels: optax.losses.multiclass_perceptron_loss(logits, labels),
            near,
            wrt=("logits",),
        ),
        row_case(EXTREME, f, far, wrt=("logits",)),
        {
            "from": "by hand: the first of tied wrong classes takes the gradient; 0 where right",
            "inputs": {"logits": [[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]], "labels": [0, 1]},
            "params": {},
            "values": [1.0, 0.0],
            "gradients": {"logits": [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]},
        },
    ]


CASES = {
    "perceptron": perceptron,
    "soft_margin": soft_margin,
    "exponential": exponential,
    "modified_huber": modified_huber,
    "margin_ranking": margin_ranking,
    "multiclass_perceptron": multiclass_perceptron,
}
