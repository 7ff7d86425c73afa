"""Contrastive preference optimisation: preference without a reference, held by likelihood."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.preference._pairs import (
    ChosenLogProbabilities,
    ChosenTokens,
    RejectedLogProbabilities,
    smoothed_logistic,
)


class CpoParams(LossParams):
    """Parameters of `cpo`."""

    variant: Literal["sigmoid", "hinge", "ipo"] = Field(
        "sigmoid", description="What is paid for the difference of log-probabilities."
    )
    beta: float = Field(0.1, gt=0, le=1e4, description="Weight of the difference; tau in ipo.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of pairs labelled the wrong way round; sigmoid only."
    )
    nll_weight: float = Field(
        1.0, ge=0, description="Weight of the preferred answer's negative log-likelihood per token."
    )


@loss(
    formula=r"-\log \sigma(\beta (\ell_w - \ell_l)) - \lambda\, \ell_w / |y_w|",
    source="Xu et al. 2024, arXiv:2401.08417, eq. 5",
    units="nats; squared nats for ipo",
    card=Card(
        characteristics="DPO in the limit of a uniform reference, plus imitation of the chosen.",
        use="Translation and other tasks with a gold standard; memory of one model only.",
        stability="Stable for any finite log-probability; log-probabilities are sums over tokens, "
        "so a difference of lengths weighs in.",
        data="Pairs where the preferred answer is worth imitating.",
    ),
    example=Example(
        {
            "chosen_log_probabilities": [-12.0, -30.0],
            "rejected_log_probabilities": [-14.0, -28.0],
            "chosen_tokens": [10, 25],
        }
    ),
)
def cpo(
    chosen_log_probabilities: ChosenLogProbabilities,
    rejected_log_probabilities: RejectedLogProbabilities,
    chosen_tokens: ChosenTokens | None = None,
    *,
    params: CpoParams,
) -> Float[Tensor, "rows"]:
    """Preference of one answer over another, plus the likelihood of the preferred one.

    The likelihood is per token where `chosen_tokens` says how many there are; its mean is over
    pairs. The subgradient at the hinge is 0.

    Returns one value per pair, in nats (ipo: squared nats plus nats).
    """
    difference = chosen_log_probabilities - rejected_log_probabilities
    if params.variant == "hinge":
        value = positive_part(1.0 - params.beta * difference)
    elif params.variant == "ipo":
        value = (difference - 0.5 / params.beta).square()
    else:
        value = smoothed_logistic(params.beta * difference, params.label_smoothing)
    if not params.nll_weight:
        return value
    average = chosen_log_probabilities
    if chosen_tokens is not None:
        average = average / chosen_tokens
    return value - params.nll_weight * average
