"""crps_gaussian, crps_ensemble, energy_score, mixture_density, evidential losses."""

from typing import Any

import numpy as np
import scoringrules
import torch
import torch.distributions as D
from mpmath import mp, mpf

from references._agree import agreeing
from references._mp import number, row_case
from references._torch import labels, randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"


def crps_gaussian() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, target: Any, scale: Any) -> Any:
        z = (target - location) / scale
        density = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
        return scale * (z * mp.erf(z / mp.sqrt(2)) + 2 * density - 1 / mp.sqrt(mp.pi))

    given = {
        "location": randoms(101, 4),
        "target": randoms(102, 4),
        "scale": randoms(103, 4, low=0.25, high=3.0),
    }
    far = {
        "location": [1e4, -50.0, 0.0, 2.0, 1.0],
        "target": [-1e4, 120.0, 2.0**-8, 2.0, 41.5],
        "scale": [2.0**-14, 100.0, 1e4, 0.5, 1.0],
    }
    root = float(1 / mp.sqrt(mp.pi))
    return [
        agreeing(
            row_case(f"smooth: {DIGITS}; scoringrules 0.10.0 agrees", f, given, wrt=tuple(given)),
            scoringrules.crps_normal(
                *map(np.array, (given[key] for key in ("target", "location", "scale")))
            ),
        ),
        row_case(f"{DIGITS}: far apart", f, far, wrt=tuple(far)),
        {
            "from": "by hand: a scale of 0 is l1, with subgradient 0 at equality",
            "inputs": {"location": [1.0, 2.0], "target": [1.0, -1.0], "scale": [0.0, 0.0]},
            "params": {},
            "values": [0.0, 3.0],
            "gradients": {"location": [0.0, 1.0], "target": [0.0, -1.0], "scale": [-root, -root]},
        },
    ]


SAMPLES = {"prediction": randoms(104, 3, 4), "target": randoms(105, 3)}
BOTH = ("prediction", "target")
FAIR = {"estimator": "fair"}


def pairs_of(count: int, params: Any) -> int:
    return count * (count - 1) if params.get("estimator") == "fair" else count * count


def crps_ensemble() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        spread = sum(abs(a - b) for a in prediction for b in prediction)
        near = sum(abs(a - target) for a in prediction) / len(prediction)
        return near - spread / (2 * pairs_of(len(prediction), params))

    def theirs(estimator: str) -> Any:
        def values(prediction: Any, target: Any) -> Any:
            return scoringrules.crps_ensemble(
                target, prediction, m_axis=1, estimator=estimator, backend="torch"
            )

        return values

    dense = {"prediction": randoms(106, 2, 3, 2), "target": randoms(107, 2, 2)}
    far = {"prediction": [[1e4, 9999.0, -1e4], [50.0, 50.5, 120.0]], "target": [9999.5, 1e4]}
    name = "smooth: scoringrules 0.10.0 crps_ensemble"
    return [
        torch_case(name, theirs("nrg"), SAMPLES, wrt=BOTH),
        torch_case(f"{name}, fair", theirs("fair"), SAMPLES, FAIR, wrt=BOTH),
        torch_case(f"{name}, dense", theirs("nrg"), dense, wrt=BOTH),
        row_case(f"{DIGITS}: far apart", f, far, wrt=BOTH),
        {
            "from": "by hand: ties of members, and with the target: subgradients 0 by ruling",
            "inputs": {"prediction": [[1.0, 1.0, 3.0]], "target": [1.0]},
            "params": {},
            "values": [2 / 3 - 4 / 9],
            "gradients": {"prediction": [[1 / 9, 1 / 9, 1 / 3 - 2 / 9]], "target": [-1 / 3]},
        },
    ]


def energy_score() -> list[dict[str, Any]]:
    def distance(a: Any, b: Any, beta: Any) -> Any:
        square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        return square ** (beta / 2) if square else mpf(0)

    def f(params: Any, prediction: Any, target: Any) -> Any:
        beta, count = mpf(params.get("beta", 1)), len(prediction)
        near = sum(distance(a, target, beta) for a in prediction) / count
        spread = 2 * sum(
            distance(prediction[i], prediction[j], beta) for i in range(count) for j in range(i)
        )
        return near - spread / (2 * pairs_of(count, params))

    def theirs(estimator: str) -> Any:
        def values(prediction: Any, target: Any) -> Any:
            return scoringrules.energy_score(
                target, prediction, estimator=estimator, backend="torch"
            )

        return values

    def slopes(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
        def by_member(m: int, j: int) -> float:
            return _slope(lambda t: f(params, _put(x, m, _put(x[m], j, t)), y), x[m][j])

        features = range(len(y))
        return (
            [[by_member(m, j) for j in features] for m in range(len(x))],
            [_slope(lambda t, j=j: f(params, x, _put(y, j, t)), y[j]) for j in features],
        )

    def exactly(source: str, inputs: Any, params: Any) -> dict[str, Any]:
        rows = [number(list(each)) for each in zip(*inputs.values(), strict=True)]
        found = [slopes(params, x, y) for x, y in rows]
        return {
            "from": source,
            "inputs": inputs,
            "params": params,
            "values": [float(f(params, x, y)) for x, y in rows],
            "gradients": dict(zip(BOTH, map(list, zip(*found, strict=True)), strict=True)),
        }

    given = {"prediction": randoms(108, 2, 3, 2), "target": randoms(109, 2, 2)}
    far = {
        "prediction": [[[1e4, 0.0], [-1e4, 120.0]], [[50.0, 1.0], [50.0, 1.25]]],
        "target": [[0.0, -120.0], [-1e4, 1e4]],
    }
    name = "smooth: scoringrules 0.10.0 energy_score"
    return [
        torch_case(name, theirs("nrg"), given, wrt=BOTH),
        exactly(f"smooth: {PAPER}: another exponent, fair", given, {"beta": 1.5} | FAIR),
        exactly(f"{DIGITS}: far apart", far, {}),
        {
            "from": "by hand: members alike, and the target: subgradients 0 by ruling",
            "inputs": {"prediction": [[[1.0, 2.0], [1.0, 2.0]]], "target": [[1.0, 2.0]]},
            "params": {"beta": 0.5},
            "values": [0.0],
            "gradients": {"prediction": [[[0.0, 0.0]] * 2], "target": [[0.0, 0.0]]},
        },
    ]


def _put(x: list[Any], i: int, value: Any) -> list[Any]:
    return [*x[:i], value, *x[i + 1 :]]


def _slope(function: Any, at: Any) -> float:
    return float(mp.diff(function, at))


def mixture_density() -> list[dict[str, Any]]:
    def theirs(mixture_logits: Any, means: Any, log_scales: Any, target: Any) -> Any:
        parts = D.Independent(D.Normal(means, log_scales.exp()), 1)
        return -D.MixtureSameFamily(D.Categorical(logits=mixture_logits), parts).log_prob(target)

    given = {
        "mixture_logits": randoms(110, 2, 3),
        "means": randoms(111, 2, 3, 2),
        "log_scales": randoms(112, 2, 3, 2, low=-1.0, high=1.0),
        "target": randoms(113, 2, 2),
    }
    one = {key: [row[:1] for row in x] for key, x in given.items()} | {"target": given["target"]}
    far = {
        "mixture_logits": [[120.0, -120.0], [-1e4, 50.0]],
        "means": [[[1e4, -1e4], [0.0, 0.0]], [[1.0, 2.0], [3.0, -50.0]]],
        "log_scales": [[[0.0, 2.0], [50.0, 9.0]], [[-8.0, -8.0], [3.0, 4.0]]],
        "target": [[-50.0, 120.0], [1.0, 2.0]],
    }
    name = "torch 2.13.0 distributions MixtureSameFamily of Normal"
    wrt = tuple(given)
    return [
        torch_case(f"smooth: {name}", theirs, given, wrt=wrt),
        torch_case(f"smooth: {name}, one component", theirs, one, wrt=wrt),
        torch_case(f"{name}, far apart", theirs, far, wrt=wrt),
    ]


def evidential_regression() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, nu: Any, alpha: Any, beta: Any, target: Any) -> Any:
        omega, d = 2 * beta * (1 + nu), location - target
        value = mp.log(mp.pi / nu) / 2 - alpha * mp.log(omega)
        value += (alpha + mpf("0.5")) * mp.log(nu * d * d + omega)
        value += mp.loggamma(alpha) - mp.loggamma(alpha + mpf("0.5"))
        return value + mpf(params.get("regularization", 0.01)) * abs(d) * (2 * nu + alpha)

    def student(location: Any, nu: Any, alpha: Any, beta: Any, target: Any) -> Any:
        """Equation 7: the marginal likelihood is a Student t."""
        scale = (beta * (1 + nu) / (nu * alpha)).sqrt()
        return -D.StudentT(2 * alpha, location, scale).log_prob(target)

    given = {
        "location": randoms(114, 5),
        "nu": randoms(115, 5, low=0.25, high=3.0),
        "alpha": randoms(116, 5, low=1.0, high=4.0),
        "beta": randoms(117, 5, low=0.25, high=3.0),
        "target": randoms(118, 5),
    }
    far = {
        "location": [1e4, -50.0, 0.5],
        "nu": [2.0**-10, 1e4, 1.0],
        "alpha": [1.0, 1.5, 1e4],
        "beta": [2.0**-10, 1e4, 50.0],
        "target": [-1e4, 120.0, 0.75],
    }
    wrt = tuple(given)
    bare = {"regularization": 0.0}
    return [
        torch_case("smooth: torch 2.13.0 distributions StudentT", student, given, bare, wrt=wrt),
        row_case(f"smooth: {DIGITS}", f, given, {"regularization": 0.5}, wrt=wrt),
        row_case(f"{DIGITS}: far out", f, far, wrt=wrt),
    ]


def evidential_classification() -> list[dict[str, Any]]:
    def f(params: Any, evidence: Any, labels: Any) -> Any:
        alpha, classes = [e + 1 for e in evidence], len(evidence)
        total, fit = sum(alpha), params.get("fit", "squared")
        if fit == "squared":
            value = sum(
                ((k == labels) - a / total) ** 2 + a * (total - a) / (total**2 * (total + 1))
                for k, a in enumerate(alpha)
            )
        else:
            function = mp.log if fit == "log" else mp.digamma
            value = function(total) - function(alpha[labels])
        wrong = [mpf(1) if k == labels else a for k, a in enumerate(alpha)]
        s = sum(wrong)
        divergence = mp.loggamma(s) - mp.loggamma(classes) - sum(mp.loggamma(a) for a in wrong)
        divergence += sum((a - 1) * (mp.digamma(a) - mp.digamma(s)) for a in wrong)
        return value + mpf(params.get("regularization", 0)) * divergence

    def theirs(evidence: Any, labels: Any) -> Any:
        """The divergence and the expectation of the square by torch's own Dirichlet."""
        hot = torch.nn.functional.one_hot(labels, 3).double()
        made = D.Dirichlet(evidence + 1)
        misled = D.Dirichlet(hot + (1 - hot) * (evidence + 1))
        none = D.Dirichlet(torch.ones_like(evidence))
        square = ((hot - made.mean) ** 2 + made.variance).sum(1)
        return square + 0.25 * D.kl_divergence(misled, none)

    given = {"evidence": randoms(119, 3, 3, low=0.0, high=6.0), "labels": labels(120, 3, 3)}
    far = {"evidence": [[1e4, 0.0, 2.0**-14], [0.0] * 3, [120.0, 1e4, 50.0]], "labels": [1, 0, 1]}
    e = ("evidence",)
    return [
        agreeing(
            row_case(
                f"smooth: {DIGITS}; torch 2.13.0 distributions Dirichlet agrees, but for the last "
                "digits of its gradient", f, given, {"regularization": 0.25}, wrt=e,
            ),
            theirs(torch.tensor(given["evidence"]).double(), torch.tensor(given["labels"])),
            1e-9,
        ),
        row_case(f"smooth: {PAPER}: log", f, given, {"fit": "log", "regularization": 1.0}, wrt=e),
        row_case(f"smooth: {PAPER}: digamma", f, given, {"fit": "digamma"}, wrt=e),
        row_case(f"{PAPER}: far out", f, far, {"fit": "digamma", "regularization": 0.5}, wrt=e),
        row_case(f"{PAPER}: far out, squared", f, far, wrt=e),
    ]  # fmt: skip


CASES = {
    "crps_gaussian": crps_gaussian,
    "crps_ensemble": crps_ensemble,
    "energy_score": energy_score,
    "mixture_density": mixture_density,
    "evidential_regression": evidential_regression,
    "evidential_classification": evidential_classification,
}
