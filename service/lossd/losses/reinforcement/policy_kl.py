"""Estimates of the divergence between two policies from the actions that one of them took."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._policy import (
    ActionLogProbabilities,
    Mask,
    masked,
    weight_of_mask,
)


class PolicyKlParams(LossParams):
    """Parameters of `policy_kl`."""

    estimator: Literal["k1", "k2", "k3"] = Field(
        "k3", description="k1: unbiased; k2: half a square; k3: unbiased and never negative."
    )


def weight_of_action(
    params: PolicyKlParams,
    reference_log_probabilities: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 per action that counts."""
    return weight_of_mask(reference_log_probabilities, mask)


@loss(
    formula=r"k_1 = -d,\quad k_2 = \tfrac12 d^2,\quad k_3 = e^d - 1 - d,\quad "
    r"d = \log \pi_{\mathrm{ref}}(a) - \log \pi(a)",
    source="Schulman 2020, Approximating KL Divergence; k3 in GRPO: Shao et al. 2024, "
    "arXiv:2402.03300, eq. 4",
    units="nats",
    weights=weight_of_action,
    card=Card(
        characteristics="Estimates KL(policy || reference) where only sampled actions are known.",
        use="The penalty that holds a policy near a reference. As a loss, k2 has the gradient of "
        "the divergence; k1 has none in expectation.",
        stability="k3 is exponential where the reference is far more certain than the policy; k2 "
        "is quadratic.",
        data="Actions sampled from the policy itself, or nearly so.",
    ),
    example=Example(
        {"log_probabilities": [-1.0, -0.5], "reference_log_probabilities": [-1.25, -0.25]}
    ),
)
def policy_kl(
    log_probabilities: ActionLogProbabilities,
    reference_log_probabilities: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="The same under the reference policy.")
    ],
    mask: Mask | None = None,
    *,
    params: PolicyKlParams,
) -> Float[Tensor, "rows *rest"]:
    """One action's share of an estimate of the divergence from the reference policy.

    Returns one value per action, in nats; k2 and k3 are >= 0; 0 where masked.
    """
    difference = masked(reference_log_probabilities - log_probabilities, mask)
    if params.estimator == "k1":
        return -difference
    if params.estimator == "k2":
        return 0.5 * difference.square()
    return torch.expm1(difference) - difference
