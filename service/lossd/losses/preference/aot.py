"""Alignment by optimal transport: prefer one distribution of rewards to another, not each pair."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.preference._pairs import (
    ChosenLogProbabilities,
    ReferenceChosenLogProbabilities,
    ReferenceRejectedLogProbabilities,
    RejectedLogProbabilities,
    smoothed_logistic,
)


class AotParams(LossParams):
    """Parameters of `aot`."""

    paired: bool = Field(
        True,
        description="True sorts margins of the policy against margins of the reference; false "
        "sorts log-ratios of preferred against those of other answers, whose pairing is lost.",
    )
    beta: float = Field(0.1, gt=0, le=1e4, description="Weight of the log-ratios.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of pairs that are labelled the wrong way round."
    )


@loss(
    formula=r"-\log \sigma(\beta (u_{(i)} - v_{(i)})),\quad u_{(1)} \le u_{(2)} \le \dots",
    source="Melnyk et al. 2024, arXiv:2406.05882, eq. 7 and 10",
    units="nats",
    coupling="coupled",
    card=Card(
        characteristics="Stochastic dominance of one sorted batch over another, by quantiles.",
        use="Alignment on unpaired answers, or where single pairs are noisy.",
        stability="Stable for any finite log-probability. The order of the moment is a constant of "
        "the gradient; small batches make coarse quantiles.",
        data="Batches of at least some dozens of answers.",
    ),
    example=Example(
        {
            "chosen_log_probabilities": [-12.5, -30.0],
            "rejected_log_probabilities": [-14.0, -28.5],
            "reference_chosen_log_probabilities": [-13.0, -29.0],
            "reference_rejected_log_probabilities": [-13.5, -29.0],
        }
    ),
)
def aot(
    chosen_log_probabilities: ChosenLogProbabilities,
    rejected_log_probabilities: RejectedLogProbabilities,
    reference_chosen_log_probabilities: ReferenceChosenLogProbabilities,
    reference_rejected_log_probabilities: ReferenceRejectedLogProbabilities,
    *,
    params: AotParams,
) -> Float[Tensor, "rows"]:
    """Logistic loss of each quantile of one set of log-ratios above the same of the other.

    Returns one value per row, in nats, >= 0: that of the quantile which the row's margin (paired)
    or preferred answer (not) holds.
    """
    if params.paired:
        ahead = chosen_log_probabilities - rejected_log_probabilities
        behind = reference_chosen_log_probabilities - reference_rejected_log_probabilities
    else:
        ahead = chosen_log_probabilities - reference_chosen_log_probabilities
        behind = rejected_log_probabilities - reference_rejected_log_probabilities
    place = torch.empty_like(ahead, dtype=torch.int64)
    place[ahead.argsort(stable=True)] = torch.arange(len(ahead), device=ahead.device)
    difference = ahead - behind.sort().values[place]
    return smoothed_logistic(params.beta * difference, params.label_smoothing)
