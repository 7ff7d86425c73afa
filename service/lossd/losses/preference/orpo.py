"""Odds ratio preference optimisation: imitate the good answer, and set odds against the bad."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log1mexp, softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.preference._pairs import (
    AverageChosenLogProbabilities,
    AverageRejectedLogProbabilities,
)


class OrpoParams(LossParams):
    """Parameters of `orpo`."""

    beta: float = Field(
        0.1, ge=0, le=1e4, description="Weight of the odds ratio; lambda in the paper."
    )
    nll_weight: float = Field(
        1.0, ge=0, description="Weight of the preferred answer's negative log-likelihood."
    )


@loss(
    formula=r"-\log p_w - \beta \log \sigma\left("
    r"\log\frac{p_w}{1 - p_w} - \log\frac{p_l}{1 - p_l}\right)",
    source="Hong et al. 2024, arXiv:2403.07691, eq. 6 and 7",
    units="nats",
    card=Card(
        characteristics="Fine-tuning and preference in one stage; no reference policy.",
        use="Alignment straight from a base model, where a second model does not fit in memory.",
        stability="In logarithms throughout. A probability of exactly 1 has infinite odds: it gets "
        "no gradient from them.",
        data="Pairs; log-probabilities averaged over tokens, or all odds are next to zero.",
    ),
    example=Example(
        {
            "chosen_log_probabilities": [-0.7, -1.2],
            "rejected_log_probabilities": [-0.9, -1.1],
        }
    ),
)
def orpo(
    chosen_log_probabilities: AverageChosenLogProbabilities,
    rejected_log_probabilities: AverageRejectedLogProbabilities,
    *,
    params: OrpoParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of the preferred answer, and logistic loss of the log odds ratio.

    Returns one value per pair, in nats; +inf where only the other answer has probability 1.
    """
    value = -params.nll_weight * chosen_log_probabilities
    if not params.beta:
        return value
    difference = _log_odds(chosen_log_probabilities) - _log_odds(rejected_log_probabilities)
    difference = difference.masked_fill(difference.isnan(), 0.0)  # both certain
    hopeless = difference == -torch.inf
    odds = softplus(-difference.masked_fill(hopeless, 0.0))
    return value + params.beta * odds.masked_fill(hopeless, torch.inf)


def _log_odds(log_p: Tensor) -> Tensor:
    """log(p / (1 - p)); +inf, without a gradient, at p = 1."""
    certain = log_p == 0
    inside = log_p.masked_fill(certain, -1.0)
    return (inside - log1mexp(inside)).masked_fill(certain, torch.inf)
