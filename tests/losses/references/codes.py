"""The divergence of one normal distribution from another, a code per row."""

from typing import Any

import torch.distributions as D
from mpmath import mp, mpf

from references._mp import row_case
from references._torch import randoms, torch_case

TORCH, DIGITS = "torch 2.13.0 distributions kl_divergence", "mpmath 1.3.0, 50 digits"
CODE = {"mean": randoms(91, 3, 2), "log_variance": randoms(92, 3, 2, low=-1.5, high=1.5)}
PRIOR = {
    "prior_mean": randoms(93, 3, 2),
    "prior_log_variance": randoms(94, 3, 2, low=-1.5, high=1.5),
}


def theirs(
    mean: Any, log_variance: Any, prior_mean: Any = None, prior_log_variance: Any = None
) -> Any:
    prior_mean = 0 * mean if prior_mean is None else prior_mean
    prior_log_variance = 0 * mean if prior_log_variance is None else prior_log_variance
    code = D.Normal(mean, (log_variance / 2).exp())
    prior = D.Normal(prior_mean, (prior_log_variance / 2).exp())
    return D.kl_divergence(code, prior).sum(1)


def formula(params: Any, mean: Any, log_variance: Any) -> Any:
    pairs = zip(mean, log_variance, strict=True)
    return sum(((m * m + mp.exp(v) - 1 - v) / 2 for m, v in pairs), mpf(0))


def gaussian_divergence() -> list[dict[str, Any]]:
    wrt = ("mean", "log_variance")
    far = {
        "mean": [[1e4, -120.0], [0.0, 50.0]],
        "log_variance": [[50.0, -1e4], [-120.0, 40.0]],
    }
    near = {"mean": [[0.0, 2.0**-20]], "log_variance": [[2.0**-12, 0.0]]}
    return [
        torch_case(f"smooth: {TORCH}", theirs, CODE, wrt=wrt),
        torch_case(f"smooth: {TORCH}", theirs, CODE | PRIOR, wrt=(*CODE, *PRIOR)),
        row_case(f"{DIGITS}: far from the prior", formula, far, wrt=wrt),
        row_case(f"{DIGITS}: next to the prior", formula, near, wrt=wrt),
    ]


CASES = {"gaussian_divergence": gaussian_divergence}
