"""Simple preference optimisation: the reward is the average log-probability itself."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.preference._pairs import (
    AverageChosenLogProbabilities,
    AverageRejectedLogProbabilities,
    smoothed_logistic,
)


class SimpoParams(LossParams):
    """Parameters of `simpo`."""

    beta: float = Field(2.0, gt=0, le=1e4, description="Weight of the log-probabilities.")
    gamma: float = Field(
        0.5, ge=0, description="Margin in nats, not multiplied by beta: gamma of the paper."
    )
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of pairs that are labelled the wrong way round."
    )


@loss(
    formula=r"-\log \sigma(\beta (\bar\ell_w - \bar\ell_l) - \gamma)",
    source="Meng et al. 2024, arXiv:2405.14734, eq. 6",
    units="nats",
    card=Card(
        characteristics="No reference policy; averaging over tokens takes away the gain of length.",
        use="Alignment on pairs; beta 2 to 10 and gamma / beta near 0.3 to 0.5.",
        stability="Stable for any finite log-probability. Nothing holds the policy near where it "
        "began: keep the learning rate low.",
        data="Pairs, log-probabilities averaged over the tokens of the answer.",
    ),
    example=Example(
        {"chosen_log_probabilities": [-0.7, -1.2], "rejected_log_probabilities": [-0.9, -1.1]}
    ),
)
def simpo(
    chosen_log_probabilities: AverageChosenLogProbabilities,
    rejected_log_probabilities: AverageRejectedLogProbabilities,
    *,
    params: SimpoParams,
) -> Float[Tensor, "rows"]:
    """Logistic loss of the margin between two average log-probabilities.

    Returns one value per pair, in nats, >= 0.
    """
    difference = chosen_log_probabilities - rejected_log_probabilities
    return smoothed_logistic(params.beta * difference - params.gamma, params.label_smoothing)
