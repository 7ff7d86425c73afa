"""quantile, multi_quantile, expectile, epsilon_insensitive, squared_epsilon_insensitive."""

from itertools import pairwise
from typing import Any

import numpy as np
from mpmath import mpf
from sklearn._loss.loss import PinballLoss
from sklearn.linear_model._sgd_fast import EpsilonInsensitive, SquaredEpsilonInsensitive

from references._mp import row_case
from references._sklearn import sklearn_case
from references._torch import randoms
from references.regression import FLAT, ROWS, WRT

FAR = {
    "prediction": [0.0, 50.0, -120.0, 1e4, 2.0**-13, -1e6],
    "target": [0.0, -50.0, 120.0, -1e4, 0.0, 1e6],
}
DIGITS = "mpmath 1.3.0, 50 digits"
FAR_APART = f"{DIGITS}: far apart; subgradient 0 at the kink by ruling"


def pinball(tau: Any, x: Any, y: Any) -> Any:
    return max(tau * (y - x), (tau - 1) * (y - x))


def quantile() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return pinball(mpf(params["tau"]), prediction, target)

    def theirs(inputs: Any, tau: float) -> dict[str, Any]:
        source = "smooth: scikit-learn 1.9.1 PinballLoss"
        return sklearn_case(source, PinballLoss(quantile=tau), inputs, {"tau": tau}, shifts=True)

    slopes = [0.0, 0.75, -0.25, 0.75, 0.75, -0.25]
    return [
        theirs(ROWS, 0.5),
        theirs(FLAT, 0.9),
        row_case(
            FAR_APART,
            f,
            FAR,
            {"tau": 0.25},
            wrt=WRT,
            kinks={"prediction": slopes, "target": [-x for x in slopes]},
        ),
    ]


TAUS = [0.125, 0.5, 0.875]
SEVERAL = {"prediction": randoms(31, 3, 3), "target": randoms(32, 3)}


def multi_quantile() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any, quantiles: Any) -> Any:
        pairs = list(zip(quantiles, prediction, strict=True))
        mean = sum(pinball(tau, x, target) for tau, x in pairs) / len(pairs)
        ordered = [x for _, x in sorted(pairs, key=lambda pair: pair[0])]
        crossed = sum(max(a - b, mpf(0)) for a, b in pairwise(ordered))
        return mean + mpf(params.get("crossing_weight", 0)) * crossed

    def theirs() -> dict[str, Any]:
        each = [
            sklearn_case(
                "",
                PinballLoss(quantile=tau),
                {"prediction": [row[k] for row in SEVERAL["prediction"]], **_target()},
            )
            for k, tau in enumerate(TAUS)
        ]
        slopes = np.array([case["gradients"]["prediction"] for case in each]).T / len(TAUS)
        return {
            "from": "smooth: scikit-learn 1.9.1 PinballLoss, the mean of three",
            "inputs": SEVERAL | {"quantiles": TAUS},
            "params": {},
            "values": np.mean([case["values"] for case in each], axis=0).tolist(),
            "gradients": {"prediction": slopes.tolist(), "target": (-slopes.sum(1)).tolist()},
        }

    def _target() -> dict[str, Any]:
        return {"target": SEVERAL["target"]}

    crossing, shuffled = {"crossing_weight": 0.75}, {"quantiles": [0.875, 0.125, 0.5]}
    far = {"prediction": [[1e4, -1e4, 3.0], [-50.0, 120.0, 1e4]], "target": [2.0, -1e4]}
    return [
        theirs(),
        row_case(
            f"smooth: paper only: {DIGITS}: crossing", f, SEVERAL, crossing, wrt=WRT,
            shared={"quantiles": TAUS},
        ),
        row_case(
            f"smooth: paper only: {DIGITS}: quantiles in another order", f, SEVERAL, crossing,
            wrt=WRT, shared=shuffled,
        ),
        row_case(f"{DIGITS}: far apart", f, far, crossing, wrt=WRT, shared={"quantiles": TAUS}),
        {
            "from": "by hand: all equal, every subgradient is 0 by ruling",
            "inputs": {"prediction": [[1.0, 1.0]], "target": [1.0], "quantiles": [0.25, 0.5]},
            "params": crossing,
            "values": [0.0],
            "gradients": {"prediction": [[0.0, 0.0]], "target": [0.0]},
        },
    ]  # fmt: skip


def expectile() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        tau, e = mpf(params["tau"]), target - prediction
        return abs(tau - (1 if e < 0 else 0)) * e * e

    at, name = {"tau": 0.75}, f"paper only: {DIGITS}"
    return [
        row_case(f"smooth: {name}", f, ROWS_FLAT, {"tau": 0.5}, wrt=WRT),
        row_case(f"smooth: {name}", f, FLAT, at, wrt=WRT),
        row_case(
            f"{name}: far apart, and equal",
            f,
            FAR,
            at,
            wrt=WRT,
            kinks={"prediction": _slopes(0.75), "target": [-x for x in _slopes(0.75)]},
        ),
    ]


ROWS_FLAT = {key: [x for row in rows for x in row][:4] for key, rows in ROWS.items()}


def _slopes(tau: float) -> list[float]:
    pairs = zip(FAR["prediction"], FAR["target"], strict=True)
    return [2 * (tau if x < y else 1 - tau) * (x - y) for x, y in pairs]


EDGES = {"prediction": [1.0, 1.25, 0.75, 1e4, -120.0], "target": [1.0, 1.0, 1.0, -1e4, 0.0]}


def _by_sgd(made: Any, inputs: dict[str, Any], epsilon: float) -> dict[str, Any]:
    pairs = list(zip(inputs["prediction"], inputs["target"], strict=True))
    slopes = [made.py_dloss(x, y) for x, y in pairs]
    kind = "smooth: " if inputs is FLAT else "edges, "
    return {
        "from": f"{kind}scikit-learn 1.9.1 linear_model {type(made).__name__}",
        "inputs": inputs,
        "params": {"epsilon": epsilon},
        "values": [made.py_loss(x, y) for x, y in pairs],
        "gradients": {"prediction": slopes, "target": [-x for x in slopes]},
    }


def epsilon_insensitive() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return max(abs(prediction - target) - mpf(params["epsilon"]), mpf(0))

    return [
        _by_sgd(EpsilonInsensitive(0.375), FLAT, 0.375),
        _by_sgd(EpsilonInsensitive(0.25), EDGES, 0.25),
        row_case(f"smooth: {DIGITS}", f, ROWS_FLAT, {"epsilon": 1.0}, wrt=WRT),
    ]


def squared_epsilon_insensitive() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return max(abs(prediction - target) - mpf(params["epsilon"]), mpf(0)) ** 2

    return [
        _by_sgd(SquaredEpsilonInsensitive(0.375), FLAT, 0.375),
        _by_sgd(SquaredEpsilonInsensitive(0.25), EDGES, 0.25),
        row_case(f"smooth: {DIGITS}", f, ROWS_FLAT, {"epsilon": 1.0}, wrt=WRT),
    ]


CASES = {
    "quantile": quantile,
    "multi_quantile": multi_quantile,
    "expectile": expectile,
    "epsilon_insensitive": epsilon_insensitive,
    "squared_epsilon_insensitive": squared_epsilon_insensitive,
}
