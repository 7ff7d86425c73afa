"""Advantage weighted regression: imitate actions, the better ones more."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.reinforcement._policy import ActionLogProbabilities, Advantages


class AwrParams(LossParams):
    """Parameters of `awr`."""

    temperature: float = Field(
        1.0, gt=0, description="Divides advantages, in their unit; beta of the paper."
    )
    max_weight: float = Field(20.0, gt=0, description="Largest weight of an action.")


@loss(
    formula=r"-\min(e^{A / \beta}, w_{\max}) \log \pi(a)",
    source="Peng et al. 2019, arXiv:1910.00177, eq. 10 and section 5",
    units="nats",
    card=Card(
        characteristics="Weighted maximum likelihood: never pushes an action away.",
        use="Offline and off-policy learning; the policy step of implicit Q-learning.",
        stability="Weights are capped; a small temperature leaves a few actions to learn from.",
        data="Actions with advantages of any policy.",
    ),
    example=Example({"log_probabilities": [-1.0, -0.5], "advantages": [0.75, -1.0]}),
)
def awr(
    log_probabilities: ActionLogProbabilities, advantages: Advantages, *, params: AwrParams
) -> Float[Tensor, "rows *rest"]:
    """Minus the log-probability of an action, times the capped exponential of its advantage.

    Returns one value per action, in nats.
    """
    weight = torch.exp(advantages / params.temperature).clamp(max=params.max_weight)
    return -weight * log_probabilities
