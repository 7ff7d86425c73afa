"""poisson_deviance, gamma_deviance, tweedie_deviance."""

from typing import Any

from mpmath import mp, mpf
from sklearn._loss.loss import HalfGammaLoss, HalfPoissonLoss, HalfTweedieLoss

from references._mp import row_case
from references._sklearn import sklearn_case
from references._torch import randoms

DIGITS = "mpmath 1.3.0, 50 digits"
GIVEN = {
    "log_mean": randoms(91, 2, 3, low=-1.5, high=1.5),
    "target": randoms(92, 2, 3, low=0.25, high=6.0),
}
ZEROS = GIVEN | {"target": [[0.0, 1.0, 0.0], [5.0, 0.5, 0.0]]}
MEANS = {"mean": [2.0, 0.5, 1.0, 4.0], "target": [2.0 + 2.0**-9, 3.0, 1.0, 2.5]}
# Downwards only: upwards e^1e4 is no number.
FAR = {"log_mean": [-50.0, 9.0, 0.0, 1.5], "target": [2.0, 0.0, 1.0 + 2.0**-8, 1e4]}


def deviance(power: Any) -> Any:
    def f(params: Any, target: Any, mean: Any = None, log_mean: Any = None) -> Any:
        p, y = mpf(params.get("power", power)), mpf(target)
        m = mean if log_mean is None else mp.exp(log_mean)
        if p == 1:
            return 2 * ((y * mp.log(y / m) if y else 0) - y + m)
        if p == 2:
            return 2 * (mp.log(m / y) + y / m - 1)
        first = y ** (2 - p) / ((1 - p) * (2 - p))
        return 2 * (first - y * m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p))

    return f


def by_sklearn(made: Any, inputs: Any, params: Any = None) -> dict[str, Any]:
    source = f"smooth: scikit-learn 1.9.1 {type(made).__name__}, log link"
    return sklearn_case(source, made, inputs, params, by="log_mean", factor=2.0, constant=True)


def exact(source: str, inputs: Any, power: float, params: Any = None) -> dict[str, Any]:
    wrt = ("mean",) if "mean" in inputs else ("log_mean",)
    return row_case(f"{source}{DIGITS}", deviance(power), inputs, params, wrt=wrt)


def poisson_deviance() -> list[dict[str, Any]]:
    apart = {"log_mean": [-1e4, *FAR["log_mean"]], "target": [3.0, *FAR["target"]]}
    return [
        by_sklearn(HalfPoissonLoss(), GIVEN),
        by_sklearn(HalfPoissonLoss(), ZEROS),
        exact("smooth: near and equal, ", MEANS, 1.0),
        exact("far apart, ", apart, 1.0),
    ]


def gamma_deviance() -> list[dict[str, Any]]:
    apart = {"log_mean": [1e4, -9.0, 0.0, 50.0], "target": [3.0, 2.0**-14, 1.0 + 2.0**-8, 1e4]}
    return [
        by_sklearn(HalfGammaLoss(), GIVEN),
        exact("smooth: near and equal, ", MEANS, 2.0),
        exact("far apart, ", apart, 2.0),
        {
            "from": "by hand: a target of 0 costs +inf without a gradient",
            "inputs": {"log_mean": [1.0], "target": [0.0]},
            "params": {},
            "values": ["Infinity"],
            "gradients": {"log_mean": [0.0]},
        },
    ]


def tweedie_deviance() -> list[dict[str, Any]]:
    def at(power: float) -> dict[str, Any]:
        return {"power": power}

    return [
        by_sklearn(HalfTweedieLoss(power=1.5), GIVEN, at(1.5)),
        by_sklearn(HalfTweedieLoss(power=1.25), ZEROS, at(1.25)),
        by_sklearn(HalfTweedieLoss(power=3.0), GIVEN, at(3.0)),
        exact("smooth: near and equal, ", MEANS, 1.5, at(1.75)),
        exact("far apart, ", FAR, 1.5, at(1.25)),
        exact("smooth: nearly Poisson, ", MEANS, 1.5, at(1 + 2.0**-20)),
        exact("smooth: nearly gamma, ", MEANS, 1.5, at(2 - 2.0**-20)),
    ]


CASES = {
    "poisson_deviance": poisson_deviance,
    "gamma_deviance": gamma_deviance,
    "tweedie_deviance": tweedie_deviance,
}
