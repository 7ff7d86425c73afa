"""What losses of numbers and of distributions are in terms of others."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import test_identities
import torch
from identity_terms import classes, of, regression
from test_identities import BOTH, LOGITS, Identity
from torch import Tensor

Made = Callable[[], dict[str, Any]]
Terms = Callable[[dict[str, Any]], Tensor]


def plain(name: str, **params: Any) -> Terms:
    return lambda x: of(name, x, **params)


def times(factor: float, name: str, **params: Any) -> Terms:
    return lambda x: factor * of(name, x, **params)


def two() -> dict[str, Any]:
    return {key: 3 * torch.randn(6, 5, dtype=torch.float64) for key in ("p_logits", "q_logits")}


def swapped(x: dict[str, Any]) -> dict[str, Any]:
    return {"p_logits": x["q_logits"], "q_logits": x["p_logits"]}


def predicted(**more: float) -> Made:
    """A location and a target, with what else is the same for every element."""

    def made() -> dict[str, Any]:
        x = regression()
        shape = x["target"].shape
        rest = {key: torch.full(shape, each, dtype=torch.float64) for key, each in more.items()}
        return {"location": x["prediction"], "target": x["target"], **rest}

    return made


def as_prediction(x: dict[str, Any]) -> dict[str, Any]:
    return {"prediction": x["location"], "target": x["target"]}


def counts() -> dict[str, Any]:
    return {
        "log_rate": torch.randn(6, 4, dtype=torch.float64),
        "target": torch.poisson(torch.full((6, 4), 3.0, dtype=torch.float64)),
    }


def of_counts(name: str, x: dict[str, Any], **more: float) -> Tensor:
    shape = x["target"].shape
    rest = {key: torch.full(shape, each, dtype=torch.float64) for key, each in more.items()}
    mean = "log_rate" if name.startswith(("poisson_nll", "zero")) else "log_mean"
    params = {"full": True} if name == "poisson_nll" else {}
    return of(name, {"target": x["target"], mean: x["log_rate"], **rest}, **params)


def one_member(x: dict[str, Any]) -> dict[str, Any]:
    return {"prediction": x["prediction"].unsqueeze(1), "target": x["target"]}


def numbers(says: str, left: Terms, right: Terms, **more: float) -> Identity:
    return Identity(says, left, right, regression, BOTH, **more)


def likelihoods(says: str, left: Terms, right: Terms, made: Made, **more: float) -> Identity:
    return Identity(says, left, right, made, ("location", "target"), **more)


def divergences(says: str, left: Terms, right: Terms, **more: float) -> Identity:
    return Identity(says, left, right, two, ("p_logits", "q_logits"), **more)


def of_counted(says: str, left: Terms, right: Terms, **more: float) -> Identity:
    return Identity(says, left, right, counts, ("log_rate",), **more)


NUMBERS = [
    numbers("quantile 0.5 is half of l1", plain("quantile", tau=0.5), times(0.5, "l1")),
    numbers("expectile 0.5 is half of mse", plain("expectile", tau=0.5), times(0.5, "mse")),
    numbers(
        "without a tolerance epsilon_insensitive is l1",
        plain("epsilon_insensitive", epsilon=0.0),
        plain("l1"),
    ),
    numbers(
        "without a tolerance squared_epsilon_insensitive is mse",
        plain("squared_epsilon_insensitive", epsilon=0.0),
        plain("mse"),
    ),
    numbers(
        "rmse is the root of the mean of mse",
        plain("rmse"),
        lambda x: of("mse", x).mean().sqrt(),
    ),
    numbers(
        "general_robust at alpha 2 is half of mse",
        plain("general_robust", alpha=2.0),
        times(0.5, "mse"),
    ),
    numbers(
        "general_robust at alpha 1 is charbonnier, shifted",
        plain("general_robust", alpha=1.0),
        plain("charbonnier", epsilon=1.0, shifted=True),
    ),
    numbers(
        "general_robust at alpha 0 is cauchy",
        plain("general_robust", alpha=0.0, scale=0.5),
        plain("cauchy", scale=0.5),
    ),
    numbers(
        "general_robust at alpha -2 is geman_mcclure",
        plain("general_robust", alpha=-2.0, scale=2.0),
        plain("geman_mcclure", scale=2.0),
    ),
    numbers(
        "general_robust far below 0 is welsch",
        plain("general_robust", alpha=-1e12),
        plain("welsch"),
        rtol=1e-9,
        atol=1e-10,
    ),
    numbers(
        "tukey_biweight with a cut-off far away is half of mse",
        plain("tukey_biweight", cutoff=1e6),
        times(0.5, "mse"),
        rtol=1e-9,
    ),
    numbers(
        "crps_ensemble of one member is l1",
        lambda x: of("crps_ensemble", one_member(x)),
        plain("l1"),
    ),
    numbers(
        "energy_score of one member is the length of its error",
        lambda x: of("energy_score", one_member(x)),
        lambda x: (x["prediction"] - x["target"]).norm(dim=1),
    ),
]  # fmt: skip

LIKELIHOODS = [
    likelihoods(
        "gaussian_nll with variance 1 is half of mse",
        plain("gaussian_nll"),
        lambda x: of("mse", as_prediction(x)) / 2,
        predicted(log_variance=0.0),
    ),
    likelihoods(
        "laplace_nll with scale 1 is l1 and a constant",
        lambda x: of("laplace_nll", x) - math.log(2.0),
        lambda x: of("l1", as_prediction(x)),
        predicted(log_scale=0.0),
        rtol=1e-9,
    ),
    likelihoods(
        "student_t_nll with one degree of freedom is cauchy at scale 1 / sqrt(2), and a constant",
        lambda x: of("student_t_nll", x) - math.log(math.pi),
        lambda x: of("cauchy", as_prediction(x), scale=0.5**0.5),
        predicted(log_scale=0.0, degrees_of_freedom=1.0),
        rtol=1e-9,
        atol=1e-9,
    ),
    likelihoods(
        "student_t_nll with many degrees of freedom is gaussian_nll",
        plain("student_t_nll"),
        lambda x: of(
            "gaussian_nll",
            {key: x[key] for key in ("location", "target")} | {"variance": x["scale"].square()},
            full=True,
        ),
        predicted(scale=2.0, degrees_of_freedom=1e12),
        rtol=1e-9,
        atol=1e-9,
    ),
    likelihoods(
        "crps_gaussian with scale 0 is l1",
        plain("crps_gaussian"),
        lambda x: of("l1", as_prediction(x)),
        predicted(scale=0.0),
    ),
    likelihoods(
        "evidential_regression is student_t_nll with the scale that the evidence leaves",
        lambda x: of("evidential_regression", x, regularization=0.0),
        lambda x: of(
            "student_t_nll",
            {
                "location": x["location"],
                "target": x["target"],
                "degrees_of_freedom": 2 * x["alpha"],
                "scale": (x["beta"] * (1 + x["nu"]) / (x["nu"] * x["alpha"])).sqrt(),
            },
        ),
        predicted(nu=0.5, alpha=1.5, beta=2.0),
        rtol=1e-9,
    ),
    of_counted(
        "half of poisson_deviance is poisson_nll but for what the target alone decides",
        lambda x: of_counts("poisson_deviance", x) / 2,
        lambda x: of("poisson_nll", x) - x["target"] + torch.xlogy(x["target"], x["target"]),
        rtol=1e-9,
    ),
    of_counted(
        "tweedie_deviance at power 1 is poisson_deviance",
        lambda x: of("tweedie_deviance", {"target": x["target"], "log_mean": x["log_rate"]},
                     power=1.0),
        lambda x: of_counts("poisson_deviance", x),
    ),
    of_counted(
        "negative_binomial_nll with a large total_count is poisson_nll",
        lambda x: of_counts("negative_binomial_nll", x, total_count=1e12),
        lambda x: of_counts("poisson_nll", x),
        rtol=1e-9,
        atol=1e-9,
    ),
    of_counted(
        "zero_inflated_poisson_nll without inflation is poisson_nll",
        lambda x: of_counts("zero_inflated_poisson_nll", x, zero_logits=-1e4),
        lambda x: of_counts("poisson_nll", x),
        rtol=1e-9,
    ),
]  # fmt: skip

DIVERGENCES = [
    divergences(
        "generalized_jensen_shannon at 0.5 is jensen_shannon",
        plain("generalized_jensen_shannon", beta=0.5),
        plain("jensen_shannon"),
    ),
    divergences(
        "generalized_jensen_shannon at 0 is kl_divergence",
        plain("generalized_jensen_shannon", beta=0.0),
        plain("kl_divergence"),
    ),
    divergences(
        "generalized_jensen_shannon at 1 is the reverse kl_divergence",
        plain("generalized_jensen_shannon", beta=1.0),
        plain("kl_divergence", direction="reverse"),
    ),
    divergences(
        "a small beta gives generalized_jensen_shannon beta times kl_divergence",
        lambda x: 1e9 * of("generalized_jensen_shannon", x, beta=1e-9),
        plain("kl_divergence"),
        rtol=1e-3,
        atol=1e-5,
    ),
    divergences(
        "jensen_shannon is symmetric",
        plain("jensen_shannon"),
        lambda x: of("jensen_shannon", swapped(x)),
    ),
    divergences(
        "renyi_divergence at 1 is kl_divergence",
        plain("renyi_divergence", alpha=1.0),
        plain("kl_divergence"),
    ),
    divergences(
        "renyi_divergence at 0.5 is minus twice the logarithm of 1 less hellinger squared",
        plain("renyi_divergence", alpha=0.5),
        lambda x: -2 * torch.log1p(-of("hellinger", x, squared=True)),
        rtol=1e-8,
        atol=1e-10,
    ),
    divergences(
        "of two classes wasserstein_1 is total_variation",
        lambda x: of("wasserstein_1", {key: each[:, :2] for key, each in x.items()}),
        lambda x: of("total_variation", {key: each[:, :2] for key, each in x.items()}),
    ),
    Identity(
        "label_smoothing is cross_entropy with its smoothing",
        plain("label_smoothing", smoothing=0.25),
        plain("cross_entropy", label_smoothing=0.25),
        classes(),
        LOGITS,
    ),
    Identity(
        "label_smoothing over the others is a smaller share over all",
        plain("label_smoothing", smoothing=0.2, spread="others"),
        plain("label_smoothing", smoothing=0.25),
        classes(),
        LOGITS,
    ),
    Identity(
        "confidence_penalty is cross_entropy less a share of entropy",
        plain("confidence_penalty", beta=0.5),
        lambda x: of("cross_entropy", x) - of("entropy", {"logits": x["logits"]}) / 2,
        classes(),
        LOGITS,
    ),
]

check = test_identities.test_two_losses_agree_where_mathematics_says_so


@pytest.mark.parametrize(
    "identity", [*NUMBERS, *LIKELIHOODS, *DIVERGENCES], ids=lambda identity: identity.says
)
@pytest.mark.parametrize("seed", range(2))
def test_two_losses_of_numbers_agree(identity: Identity, seed: int) -> None:
    check(identity, seed)
