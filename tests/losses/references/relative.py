"""mape, smape, msle, rmse, mase, relative_l2, scale_invariant_log."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from sklearn.metrics import mean_absolute_percentage_error, mean_squared_log_error

from references._agree import agreeing
from references._mp import row_case
from references._torch import randoms, torch_case
from references.regression import WRT

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
INF = "Infinity"
SIGNED = {"prediction": randoms(41, 5), "target": randoms(42, 5)}
POSITIVE = {
    "prediction": randoms(43, 5, low=0.25, high=5.0),
    "target": randoms(44, 5, low=0.25, high=5.0),
}
DEPTHS = {
    "prediction": randoms(43, 2, 3, low=0.25, high=5.0),
    "target": randoms(44, 2, 3, low=0.25, high=5.0),
}
TWO = {"prediction": randoms(45, 2, 3), "target": randoms(46, 2, 3)}


def alone(function: Any, inputs: dict[str, Any]) -> Any:
    """A mean over elements, taken of each."""
    sides = np.array(inputs["target"]), np.array(inputs["prediction"])
    return np.vectorize(lambda y, x: function([y], [x]))(*sides)


def mape() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        size = max(abs(target), mpf(params.get("floor", 0)))
        return (100 if params.get("percent", True) else 1) * abs(prediction - target) / size

    far = {"prediction": [50.0, -120.0, 1e4, 2.0**-13], "target": [-50.0, 120.0, 2.0**-13, -1e4]}
    floor = {"prediction": [1.0, 0.5, -0.25, 3.0], "target": [0.0625, -0.125, 0.25, 2.0]}
    fraction = {"percent": False}
    return [
        agreeing(
            row_case(f"smooth: {DIGITS}; scikit-learn 1.9.1 agrees", f, SIGNED, fraction, wrt=WRT),
            alone(mean_absolute_percentage_error, SIGNED),
        ),
        row_case(f"smooth: {DIGITS}: floor", f, floor, {"floor": 0.5}, wrt=WRT),
        row_case(f"{DIGITS}: far apart", f, far, fraction, wrt=WRT),
        {
            "from": "by hand: a target of 0 costs +inf without a gradient, or 0",
            "inputs": {"prediction": [0.0, 1.0, 2.0], "target": [0.0, 0.0, 2.0]},
            "params": {},
            "values": [0.0, INF, 0.0],
            "gradients": {"prediction": [0.0, 0.0, 0.0], "target": [0.0, 0.0, 0.0]},
        },
    ]


def smape() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        factor = (200 if params.get("percent", True) else 2) / (2 - params.get("halve", True))
        return factor * abs(prediction - target) / (abs(prediction) + abs(target))

    far = {"prediction": [50.0, -120.0, 1e4, 2.0**-13], "target": [-50.0, 119.0, 2.0**-13, 1e4]}
    same = {"prediction": [0.5, 3.0, -2.0, 1e4], "target": [1.0, 0.25, -3.0, 9999.0]}
    return [
        row_case(f"smooth: {PAPER}", f, SIGNED, wrt=WRT),
        row_case(
            f"smooth: {PAPER}: of the whole, as a share", f, same,
            {"percent": False, "halve": False}, wrt=WRT,
        ),
        row_case(f"{PAPER}: far apart", f, far, {"percent": False}, wrt=WRT),
        {
            "from": "by hand: equal, and zeros: subgradients are 0 by ruling",
            "inputs": {"prediction": [0.0, 1.0, 2.0], "target": [0.0, 0.0, 2.0]},
            "params": {},
            "values": [0.0, 200.0, 0.0],
            "gradients": {"prediction": [0.0, 0.0, 0.0], "target": [0.0, 0.0, 0.0]},
        },
    ]  # fmt: skip


def msle() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        return (mp.log1p(prediction) - mp.log1p(target)) ** 2

    far = {
        "prediction": [0.0, 1e4, 1e4, 2.0**-14, -0.5, -0.875],
        "target": [1e4, 0.0, 10008.0, 0.0, 50.0, -0.875],
    }
    return [
        agreeing(
            row_case(f"smooth: {DIGITS}; scikit-learn 1.9.1 agrees", f, POSITIVE, wrt=WRT),
            alone(mean_squared_log_error, POSITIVE),
        ),
        row_case(f"{DIGITS}: far apart, near and below 0", f, far, wrt=WRT),
        {
            "from": "by hand: -1 costs +inf without a gradient, or 0",
            "inputs": {"prediction": [-1.0, -1.0, 0.0], "target": [-1.0, 0.0, -1.0]},
            "params": {},
            "values": [0.0, INF, INF],
            "gradients": {"prediction": [0.0, 0.0, 0.0], "target": [0.0, 0.0, 0.0]},
        },
    ]


def rmse() -> list[dict[str, Any]]:
    def theirs(prediction: Any, target: Any) -> Any:
        return torch.sqrt(F.mse_loss(prediction, target))

    source = "torch 2.13.0 root of F.mse_loss"
    far = {"prediction": [1e4, -120.0, 0.0], "target": [-1e4, 120.0, 2.0**-14]}
    return [
        torch_case(f"smooth: {source}", theirs, TWO, wrt=WRT),
        torch_case(f"smooth: {source}", theirs, SIGNED, wrt=WRT),
        torch_case(f"{source}: far apart", theirs, far, wrt=WRT),
        {
            "from": "by hand: no error, whose subgradient is 0 by ruling",
            "inputs": {"prediction": [1.0, 2.0], "target": [1.0, 2.0]},
            "params": {},
            "values": 0.0,
            "gradients": {"prediction": [0.0, 0.0], "target": [0.0, 0.0]},
        },
    ]


def mase() -> list[dict[str, Any]]:
    season = 2

    def f(params: Any, prediction: Any, target: Any, history: Any) -> list[Any]:
        m = params.get("season", 1)
        steps = [abs(mpf(b) - mpf(a)) for a, b in zip(history, history[m:], strict=False)]
        scale = sum(steps) / len(steps)
        return [abs(x - y) / scale for x, y in zip(prediction, target, strict=True)]

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        """Values of a row are several, so slopes are found element by element."""
        made = row_case(
            source, lambda p, **row: sum(f(p, **row)), inputs, params, wrt=WRT
        )  # fmt: skip
        rows = [dict(zip(inputs, each, strict=True)) for each in zip(*inputs.values(), strict=True)]
        return made | {"values": [[float(x) for x in f(params or {}, **row)] for row in rows]}

    history = {"history": randoms(47, 2, 4)}
    far = {"prediction": [[1e4, -1e4]], "target": [[-1e4, 2.0]], "history": [[1e4, 1e4, 9999.0]]}
    return [
        case(f"smooth: {PAPER}", TWO | history),
        case(f"smooth: {PAPER}: a season of two", TWO | history, {"season": season}),
        case(f"{PAPER}: far apart", far),
        {
            "from": "by hand: a scale of 0 costs +inf without a gradient, or 0",
            "inputs": {
                "prediction": [[1.0, 2.0], [1.0, 1.0]],
                "target": [[1.0, 3.0], [1.0, 1.0]],
                "history": [[5.0, 5.0], [1.0, 2.0]],
            },
            "params": {},
            "values": [[0.0, INF], [0.0, 0.0]],
            "gradients": {"prediction": [[0.0] * 2] * 2, "target": [[0.0] * 2] * 2},
        },
    ]


def relative_l2() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        pairs = zip(prediction, target, strict=True)
        share = sum((x - y) ** 2 for x, y in pairs) / sum(y * y for y in target)
        return share if params.get("squared") else mp.sqrt(share)

    far = {"prediction": [[1e4, -120.0], [2.0**-13, 3.0]], "target": [[-1e4, 120.0], [2.0**-14, 0]]}
    return [
        row_case(f"smooth: {PAPER}", f, TWO, wrt=WRT),
        row_case(f"smooth: {PAPER}: squared", f, TWO, {"squared": True}, wrt=WRT),
        row_case(f"{PAPER}: far apart", f, far, wrt=WRT),
        {
            "from": "by hand: zeros cost +inf without a gradient, or 0; equal ones 0",
            "inputs": {
                "prediction": [[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]],
                "target": [[0.0, 0.0], [0.0, 0.0], [1.0, 2.0]],
            },
            "params": {},
            "values": [0.0, INF, 0.0],
            "gradients": {"prediction": [[0.0] * 2] * 3, "target": [[0.0] * 2] * 3},
        },
    ]


def scale_invariant_log() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        pairs = [(x, y) for x, y in zip(prediction, target, strict=True) if y > 0]
        if not pairs:
            return mpf(0)
        logs = [mp.log(x) - mp.log(y) for x, y in pairs]
        mean = sum(logs) / len(logs)
        lost = mpf(params.get("invariance", 0.5))
        value = sum(d * d for d in logs) / len(logs) - lost * mean**2
        return mp.sqrt(value) if params.get("root") else value

    def weight(params: Any, prediction: Any, target: Any) -> Any:
        return mpf(any(y > 0 for y in target))

    def case(source: str, inputs: Any, params: Any = None) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=("prediction",), weight=weight)

    holes = {
        "prediction": DEPTHS["prediction"] + [[1.0, 2.0, 3.0]],
        "target": [[*DEPTHS["target"][0][:2], 0.0], DEPTHS["target"][1], [0.0] * 3],
    }
    far = {"prediction": [[1e4, 2.0**-14], [1e4, 9999.0]], "target": [[2.0**-14, 1e4], [0.5, 0.5]]}
    return [
        case(f"smooth: {PAPER}", DEPTHS),
        case(f"smooth: {PAPER}: missing depths", holes, {"invariance": 1.0}),
        case(f"smooth: {PAPER}: root", DEPTHS, {"invariance": 0.85, "root": True}),
        case(f"{PAPER}: far apart, and an error of scale alone", far, {"invariance": 1.0}),
        {
            "from": "by hand: no error, whose root has subgradient 0 by ruling",
            "inputs": {"prediction": [[2.0, 3.0]], "target": [[2.0, 3.0]]},
            "params": {"root": True},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"prediction": [[0.0, 0.0]]},
        },
    ]


CASES = {
    "mape": mape,
    "smape": smape,
    "msle": msle,
    "rmse": rmse,
    "mase": mase,
    "relative_l2": relative_l2,
    "scale_invariant_log": scale_invariant_log,
}
