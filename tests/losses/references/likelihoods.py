"""Negative log-likelihoods of one number per item."""

from typing import Any

import torch
import torch.distributions as D
import torch.nn.functional as F
from mpmath import mp, mpf

from references._mp import row_case, softplus
from references._torch import randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
MEANT = {"location": randoms(81, 2, 2), "target": randoms(82, 2, 2)}
SCALES = {"scale": randoms(83, 2, 2, low=0.25, high=3.0)}
LOG_SCALES = {"log_scale": randoms(84, 2, 2, low=-1.5, high=1.5)}
FAR = {"location": [1e4, -50.0, 0.5, 1.0, 2.0], "target": [-1e4, 120.0, 0.5 + 2.0**-8, 2.0, 0.5]}
FAR_SCALES = [9.0, 50.0, -8.0, 0.0, 0.25]
HALF_LOG_2_PI = mp.log(2 * mp.pi) / 2


def flat(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: [x for row in rows for x in row] for key, rows in inputs.items()}


def minus_log(made: Any, **more: Any) -> Any:
    """Of a distribution of torch, of the inputs that it is made of."""
    return lambda target, **given: -made(**given, **more).log_prob(target)


def laplace_nll() -> list[dict[str, Any]]:
    wrt = ("location", "target", "log_scale")

    def f(params: Any, location: Any, target: Any, log_scale: Any) -> Any:
        return mp.log(2) + log_scale + abs(location - target) * mp.exp(-log_scale)

    def theirs(location: Any, scale: Any, target: Any) -> Any:
        return -D.Laplace(location, scale).log_prob(target)

    given = MEANT | SCALES
    return [
        torch_case("smooth: torch 2.13.0 distributions Laplace", theirs, given, wrt=tuple(given)),
        row_case(f"smooth: {DIGITS}", f, flat(MEANT | LOG_SCALES), wrt=wrt),
        row_case(f"{DIGITS}: far apart", f, FAR | {"log_scale": FAR_SCALES}, wrt=wrt),
        {
            "from": "by hand: met, with a scale of e^-1e4 or e^1e4; subgradient 0 by ruling",
            "inputs": {"location": [1.0, 1.0], "target": [1.0, 1.0], "log_scale": [-1e4, 1e4]},
            "params": {},
            "values": [float(mp.log(2) - 10000), float(mp.log(2) + 10000)],
            "gradients": {"location": [0.0] * 2, "target": [0.0] * 2, "log_scale": [1.0] * 2},
        },
    ]  # fmt: skip


def student_t_nll() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, target: Any, degrees_of_freedom: Any, log_scale: Any) -> Any:
        nu, square = degrees_of_freedom, ((location - target) * mp.exp(-log_scale)) ** 2
        constant = mp.loggamma(nu / 2) - mp.loggamma((nu + 1) / 2) + mp.log(nu * mp.pi) / 2
        return constant + log_scale + (nu + 1) / 2 * mp.log1p(square / nu)

    def theirs(location: Any, scale: Any, degrees_of_freedom: Any, target: Any) -> Any:
        return -D.StudentT(degrees_of_freedom, location, scale).log_prob(target)

    free = {"degrees_of_freedom": randoms(85, 2, 2, low=0.5, high=8.0)}
    given, logs = MEANT | SCALES | free, MEANT | LOG_SCALES | free
    far = FAR | {"log_scale": FAR_SCALES, "degrees_of_freedom": [2.0, 1e4, 0.125, 2.0**-7, 100.0]}
    return [
        torch_case("smooth: torch 2.13.0 distributions StudentT", theirs, given, wrt=tuple(given)),
        row_case(f"smooth: {DIGITS}", f, flat(logs), wrt=tuple(logs)),
        row_case(f"{DIGITS}: far apart, few and many degrees", f, far, wrt=tuple(far)),
    ]


def log_normal_nll() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, target: Any, log_scale: Any) -> Any:
        z = (mp.log(target) - location) * mp.exp(-log_scale)
        return HALF_LOG_2_PI + mp.log(target) + log_scale + z * z / 2

    def theirs(location: Any, scale: Any, target: Any) -> Any:
        return -D.LogNormal(location, scale).log_prob(target)

    positive = {"location": MEANT["location"], "target": randoms(86, 2, 2, low=0.25, high=6.0)}
    given, logs = positive | SCALES, flat(positive | LOG_SCALES)
    far = {
        "location": [50.0, -120.0, 9.0, 0.0],
        "target": [2.0**-14, 1e4, 9500.0, 1.0],
        "log_scale": [3.0, 5.0, -4.0, -1e4],
    }
    return [
        torch_case("smooth: torch 2.13.0 distributions LogNormal", theirs, given, wrt=tuple(given)),
        row_case(f"smooth: {DIGITS}", f, logs, wrt=tuple(logs)),
        row_case(
            f"{DIGITS}: far apart", f, {key: x[:3] for key, x in far.items()}, wrt=tuple(far)
        ),
    ]  # fmt: skip


def gaussian_nll() -> list[dict[str, Any]]:
    def f(params: Any, location: Any, target: Any, log_variance: Any) -> Any:
        value = (log_variance + (location - target) ** 2 * mp.exp(-log_variance)) / 2
        return value + HALF_LOG_2_PI if params.get("full") else value

    def theirs(full: bool) -> Any:
        def values(location: Any, target: Any, variance: Any) -> Any:
            return F.gaussian_nll_loss(location, target, variance, full=full, reduction="none")

        return values

    def seitzer(location: Any, target: Any, log_variance: Any) -> Any:
        variance = log_variance.exp()
        value = theirs(False)(location, target, variance)
        return value * variance.detach() ** 0.5

    given = MEANT | {"variance": SCALES["scale"]}
    logs = MEANT | {"log_variance": LOG_SCALES["log_scale"]}
    far = FAR | {"log_variance": [2 * x for x in FAR_SCALES]}
    name = "torch 2.13.0 F.gaussian_nll_loss"
    return [
        torch_case(f"smooth: {name}", theirs(False), given, wrt=tuple(given)),
        torch_case(f"smooth: {name}, full", theirs(True), given, {"full": True}, wrt=tuple(given)),
        torch_case(
            f"{name} times a detached power of the variance", seitzer, logs, {"beta": 0.5},
            wrt=tuple(logs),
        ),
        row_case(f"smooth: {DIGITS}", f, flat(logs), {"full": True}, wrt=tuple(logs)),
        row_case(f"{DIGITS}: far apart", f, far, wrt=tuple(far)),
        {
            "from": "by hand: met, with a variance of e^-1e4 or e^1e4",
            "inputs": {"location": [1.0, 1.0], "target": [1.0, 1.0], "log_variance": [-1e4, 1e4]},
            "params": {},
            "values": [-5000.0, 5000.0],
            "gradients": {"location": [0.0] * 2, "target": [0.0] * 2, "log_variance": [0.5] * 2},
        },
    ]  # fmt: skip


COUNTED = {"target": [[0.0, 3.0], [1.0, 7.0]]}
RATES = {"rate": randoms(87, 2, 2, low=0.25, high=8.0)}
LOG_RATES = {"log_rate": randoms(88, 2, 2, low=-2.0, high=2.0)}


def poisson_nll() -> list[dict[str, Any]]:
    def f(params: Any, target: Any, rate: Any = None, log_rate: Any = None) -> Any:
        mean = rate if log_rate is None else mp.exp(log_rate)
        logs = log_rate if rate is None else mp.log(rate)
        value = mean - target * logs
        return value + mp.loggamma(mpf(target) + 1) if params.get("full") else value

    def theirs(log: bool) -> Any:
        def values(target: Any, **x: Any) -> Any:
            return F.poisson_nll_loss(*x.values(), target, log_input=log, eps=0.0, reduction="none")

        return values

    full = {"full": True}
    far = {"log_rate": [-1e4, -120.0, 9.0, 9.25], "target": [2.0, 0.0, 8103.0, 1e4]}
    name, logs = "smooth: torch 2.13.0 F.poisson_nll_loss", ("log_rate",)
    exact = torch_case(
        "smooth: torch 2.13.0 distributions Poisson",
        lambda rate, target: -D.Poisson(rate).log_prob(target),
        RATES | COUNTED, full, wrt=("rate",),
    )  # fmt: skip
    return [
        torch_case(name, theirs(True), LOG_RATES | COUNTED, wrt=logs),
        torch_case(f"{name}, a rate", theirs(False), RATES | COUNTED, wrt=("rate",)),
        exact,
        row_case(f"{DIGITS}: large counts", f, far, full, wrt=logs),
        {
            "from": "by hand: a rate of 0 costs nothing, or +inf without a gradient",
            "inputs": {"rate": [0.0, 0.0], "target": [0.0, 1.0]},
            "params": {},
            "values": [0.0, "Infinity"],
            "gradients": {"rate": [1.0, 0.0]},
        },
    ]


def negative_binomial_nll() -> list[dict[str, Any]]:
    def f(params: Any, target: Any, total_count: Any, log_mean: Any) -> Any:
        y, r, mean = mpf(target), total_count, mp.exp(log_mean)
        ways = mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1)
        return r * mp.log1p(mean / r) + y * mp.log1p(r / mean) - ways

    def theirs(target: Any, total_count: Any, mean: Any) -> Any:
        made = D.NegativeBinomial(total_count, logits=mean.log() - total_count.log())
        return -made.log_prob(target)

    spread = {"total_count": randoms(89, 2, 2, low=0.25, high=6.0)}
    given = COUNTED | spread | {"mean": RATES["rate"]}
    logs = flat(COUNTED | spread | {"log_mean": LOG_RATES["log_rate"]})
    far = {
        "target": [1e4, 0.0, 3.0, 9000.0],
        "total_count": [1e4, 2.0**-12, 1e4, 0.5],
        "log_mean": [9.25, 9.0, -50.0, 2.0],
    }
    name = "smooth: torch 2.13.0 distributions NegativeBinomial"
    wrt = ("total_count", "log_mean")
    return [
        torch_case(name, theirs, given, wrt=("total_count", "mean")),
        row_case(f"smooth: {DIGITS}", f, logs, wrt=wrt),
        row_case(f"{DIGITS}: large counts", f, far, wrt=wrt),
    ]


def zero_inflated_poisson_nll() -> list[dict[str, Any]]:
    def f(params: Any, target: Any, zero_logits: Any, log_rate: Any) -> Any:
        y, mean = mpf(target), mp.exp(log_rate)
        if y == 0:
            share = 1 / (1 + mp.exp(-zero_logits))
            return -mp.log(share + (1 - share) * mp.exp(-mean))
        return softplus(zero_logits) + mean - y * log_rate + mp.loggamma(y + 1)

    def theirs(target: Any, zero_logits: Any, log_rate: Any) -> Any:
        """Of a mixture of two Poisson distributions, one of which has rate 0."""
        weights = torch.stack((zero_logits, torch.zeros_like(zero_logits)), -1)
        rates = torch.stack((torch.zeros_like(log_rate), log_rate.exp()), -1)
        made = D.MixtureSameFamily(
            D.Categorical(logits=weights), D.Poisson(rates, validate_args=False)
        )
        return -made.log_prob(target)

    gates = {"zero_logits": randoms(90, 2, 2)}
    given = COUNTED | gates | LOG_RATES
    far = {
        "target": [0.0, 0.0, 0.0, 1e4, 1.0],
        "zero_logits": [-120.0, 1e4, -50.0, 50.0, -1e4],
        "log_rate": [4.0, 3.0, -120.0, 9.25, 0.5],
    }
    wrt = ("zero_logits", "log_rate")
    name = "torch 2.13.0 distributions MixtureSameFamily of Poisson"
    return [
        torch_case(f"smooth: {name}", theirs, given, wrt=wrt),
        row_case(f"smooth: {DIGITS}", f, flat(given), wrt=wrt),
        row_case(f"{DIGITS}: far out", f, far, wrt=wrt),
    ]


CASES = {
    "laplace_nll": laplace_nll,
    "student_t_nll": student_t_nll,
    "log_normal_nll": log_normal_nll,
    "gaussian_nll": gaussian_nll,
    "poisson_nll": poisson_nll,
    "negative_binomial_nll": negative_binomial_nll,
    "zero_inflated_poisson_nll": zero_inflated_poisson_nll,
}
