"""Rank responses: every answer that is worse should be less likely."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class RrhfParams(LossParams):
    """Parameters of `rrhf`."""

    nll_weight: float = Field(
        1.0, ge=0, description="Weight of the negative log-likelihood of the best answer."
    )


@loss(
    formula=r"\sum_{r_i < r_j} \max(0, \ell_i - \ell_j) - \lambda\, \ell_{\arg\max r}",
    source="Yuan et al. 2023, arXiv:2304.05302, eq. 2 to 4",
    units="nats",
    matrices=(("answers", "answers"),),
    card=Card(
        characteristics="Uses only the order of the rewards; zero margin.",
        use="Alignment on several scored answers to each prompt, of any sources.",
        stability="Piecewise linear. Summed over pairs, so it grows with the square of answers.",
        data="Rewards of all answers; of equal rewards the first is the best, and no pair counts.",
    ),
    example=Example(
        {"log_probabilities": [[-0.7, -1.2, -0.5]], "rewards": [[0.9, 0.1, 0.4]]},
    ),
)
def rrhf(
    log_probabilities: Annotated[
        Float[Tensor, "rows answers"],
        Arg(doc="Log-probabilities averaged over tokens.", gradient=True, high=0),
    ],
    rewards: Annotated[Float[Tensor, "rows answers"], Arg(doc="Scores of the answers.")],
    *,
    params: RrhfParams,
) -> Float[Tensor, "rows"]:
    """Hinge over all pairs that are in the wrong order, plus the likelihood of the best answer.

    The subgradient of equal log-probabilities is 0.

    Returns one value per prompt, in nats, >= 0; 0 without answers.
    """
    worse = rewards.unsqueeze(2) < rewards.unsqueeze(1)
    ahead = log_probabilities.unsqueeze(2) - log_probabilities.unsqueeze(1)
    value = positive_part(ahead).masked_fill(~worse, 0.0).sum((1, 2))
    if not rewards.shape[1]:
        return value
    best = rewards.argmax(1, keepdim=True)
    return value - params.nll_weight * torch.gather(log_probabilities, 1, best).squeeze(1)
