"""smooth_quantile, berhu, interval_score, von_mises_nll, concordance_correlation, counts."""

from typing import Any

import numpy as np
import scoringrules
import torch
import torch.distributions as D
import torch.nn.functional as F
from mpmath import mp, mpf

from references._agree import agreeing
from references._mp import row_case, softplus
from references._torch import randoms, torch_case
from references.regression import FLAT, ROWS, WRT

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
FAR = {"prediction": [50.0, -120.0, 1e4, 2.0**-13], "target": [-50.0, 120.0, -1e4, 0.0]}
EQUAL = {"prediction": [1.0], "target": [1.0]}
NOTHING = {"values": [0.0], "gradients": {"prediction": [0.0], "target": [0.0]}}


def smooth_quantile() -> list[dict[str, Any]]:
    def theirs(prediction: Any, target: Any) -> Any:
        """Equation 10 on torch's Huber loss."""
        side = (0.75 - (target < prediction).double()).abs()
        return side * F.huber_loss(prediction, target, delta=0.5, reduction="none") / 0.5

    def f(params: Any, prediction: Any, target: Any) -> Any:
        tau, delta, e = mpf(params["tau"]), mpf(params["delta"]), target - prediction
        size = abs(e)
        huber = size * size / 2 if size < delta else delta * (size - delta / 2)
        return abs(tau - (1 if e < 0 else 0)) * huber / delta

    at = {"tau": 0.75, "delta": 0.5}
    return [
        torch_case("smooth: torch 2.13.0 F.huber_loss, weighed", theirs, ROWS, at, wrt=WRT),
        row_case(f"smooth: {DIGITS}", f, FLAT, {"tau": 0.125, "delta": 2.0}, wrt=WRT),
        row_case(f"{DIGITS}: far apart", f, FAR, at, wrt=WRT),
        {"from": "by hand: equality", "inputs": EQUAL, "params": at, **NOTHING},
    ]


def berhu() -> list[dict[str, Any]]:
    def f(params: Any, prediction: Any, target: Any) -> Any:
        d, c = abs(prediction - target), mpf(params.get("threshold", 1))
        return d if d <= c else (d * d + c * c) / (2 * c)

    return [
        row_case(f"smooth: {PAPER}", f, FLAT, wrt=WRT),
        row_case(f"smooth: {PAPER}: wide", f, FLAT, {"threshold": 2.0}, wrt=WRT),
        row_case(f"{PAPER}: far apart", f, FAR, {"threshold": 0.25}, wrt=WRT),
        {"from": "by hand: equality", "inputs": EQUAL, "params": {}, **NOTHING},
    ]


def interval_score() -> list[dict[str, Any]]:
    def f(params: Any, lower: Any, upper: Any, target: Any) -> Any:
        cost = 2 / mpf(params["alpha"])
        low, high = max(lower - target, mpf(0)), max(target - upper, mpf(0))
        return upper - lower + cost * (low + high)

    given = {
        "lower": [-1.0, 0.5, 2.0, -3.0],
        "upper": [1.0, 2.0, 2.5, -2.0],
        "target": [0.25, 3.0, 1.0, -2.5],
    }
    far = {"lower": [1e4, -1e4, 2.0], "upper": [-1e4, 1e4, 3.0], "target": [50.0, 120.0, 1e4]}
    wrt, at = tuple(given), {"alpha": 0.25}
    sides = [np.array(given[key]) for key in ("target", "lower", "upper")]
    name = f"smooth: {DIGITS}; scoringrules 0.10.0 interval_score agrees"
    return [
        agreeing(
            row_case(name, f, given, at, wrt=wrt), scoringrules.interval_score(*sides, 0.25)
        ),
        row_case(f"{DIGITS}: far apart, and ends that cross", f, far, {"alpha": 0.5}, wrt=wrt),
        {
            "from": "by hand: a target on an end: subgradient 0 by ruling",
            "inputs": {"lower": [1.0], "upper": [2.0], "target": [2.0]},
            "params": at,
            "values": [1.0],
            "gradients": {"lower": [-1.0], "upper": [1.0], "target": [0.0]},
        },
    ]  # fmt: skip


def von_mises_nll() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, target: Any, concentration: Any) -> Any:
        bessel = mp.log(2 * mp.pi * mp.besseli(0, concentration))
        return bessel - concentration * mp.cos(location - target)

    given = {
        "location": randoms(131, 4),
        "target": randoms(132, 4),
        "concentration": [0.25, 1.5, 4.0, 0.75],
    }
    far = {
        "location": [3.0, -3.0, 0.5, 1.0],
        "target": [-3.0, 0.25, 0.5, 2.0],
        "concentration": [120.0, 1e4, 1e4, 2.0**-14],
    }
    wrt = tuple(given)
    theirs = -D.VonMises(*(torch.tensor(given[key]).double() for key in (wrt[0], wrt[2]))).log_prob(
        torch.tensor(given["target"]).double()
    )
    flat = {"location": [1.0, 0.0], "target": [1.0, 2.0], "concentration": [0.0, 0.0]}
    name = f"smooth: {DIGITS}; torch 2.13.0 distributions VonMises agrees to 6 digits"
    return [
        agreeing(row_case(name, f, given, wrt=wrt), theirs, 1e-6),
        row_case(f"{DIGITS}: sure, and hardly sure", f, far, wrt=wrt),
        row_case(f"{DIGITS}: concentration 0", f, flat, wrt=wrt),
    ]


def concordance_correlation() -> list[dict[str, Any]]:
    def theirs(prediction: Any, target: Any) -> Any:
        """Equation 2.2 by torch's covariance."""
        both = torch.stack((prediction.flatten(), target.flatten()))
        c, shift = torch.cov(both, correction=0), both.mean(1).diff().square()
        return 1 - 2 * c[0, 1] / (c[0, 0] + c[1, 1] + shift.squeeze())

    far = {"prediction": [1e4, -120.0, 0.0, 50.0], "target": [9000.0, 120.0, 2.0**-13, -50.0]}
    name = "torch 2.13.0 cov"
    return [
        torch_case(f"smooth: {name}", theirs, ROWS, wrt=WRT),
        torch_case(f"smooth: {name}", theirs, FLAT, wrt=WRT),
        torch_case(f"{name}, far apart", theirs, far, wrt=WRT),
        {
            "from": "by hand: equal and constant",
            "inputs": {"prediction": [2.0, 2.0], "target": [2.0, 2.0]},
            "params": {},
            "values": 0.0,
            "gradients": {"prediction": [0.0, 0.0], "target": [0.0, 0.0]},
        },
    ]


def zero_inflated_negative_binomial_nll() -> list[dict[str, Any]]:
    def f(params: Any, target: Any, zero_logits: Any, log_mean: Any, total_count: Any) -> Any:
        y, r, mean = mpf(target), total_count, mp.exp(log_mean)
        ways = mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1)
        some = r * mp.log1p(mean / r) + y * mp.log1p(r / mean) - ways
        if y > 0:
            return softplus(zero_logits) + some
        share = 1 / (1 + mp.exp(-zero_logits))
        return -mp.log(share + (1 - share) * mp.exp(-some))

    def theirs(target: Any, zero_logits: Any, log_mean: Any, total_count: Any) -> Any:
        some = D.NegativeBinomial(total_count, logits=log_mean - total_count.log())
        share = torch.sigmoid(zero_logits)
        here = share * (target == 0) + (1 - share) * some.log_prob(target).exp()
        return -here.log()

    given = {
        "target": [[0.0, 3.0], [1.0, 0.0]],
        "zero_logits": randoms(133, 2, 2),
        "log_mean": randoms(134, 2, 2, low=-1.0, high=2.0),
        "total_count": randoms(135, 2, 2, low=0.25, high=5.0),
    }
    far = {
        "target": [0.0, 0.0, 9000.0, 2.0],
        "zero_logits": [-120.0, 1e4, -50.0, 50.0],
        "log_mean": [4.0, 3.0, 9.0, -50.0],
        "total_count": [0.5, 1e4, 100.0, 2.0**-10],
    }
    wrt = ("zero_logits", "log_mean", "total_count")
    flat = {key: [x for row in rows for x in row] for key, rows in given.items()}
    name = "smooth: torch 2.13.0 distributions NegativeBinomial, mixed with a point"
    return [
        torch_case(name, theirs, given, wrt=wrt),
        row_case(f"smooth: {DIGITS}", f, flat, wrt=wrt),
        row_case(f"{DIGITS}: far out", f, far, wrt=wrt),
    ]


CASES = {
    "smooth_quantile": smooth_quantile,
    "berhu": berhu,
    "interval_score": interval_score,
    "von_mises_nll": von_mises_nll,
    "concordance_correlation": concordance_correlation,
    "zero_inflated_negative_binomial_nll": zero_inflated_negative_binomial_nll,
}
