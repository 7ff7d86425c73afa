"""Proximal policy optimisation: the gain of an action, clipped where the policy has moved far."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.reinforcement._policy import (
    ActionLogProbabilities,
    Advantages,
    Mask,
    OldLogProbabilities,
    clipped_surrogate,
    masked,
    weight_of_mask,
)


class PpoClipParams(LossParams):
    """Parameters of `ppo_clip`."""

    clip_low: float = Field(0.2, ge=0, le=1, description="How far below 1 the ratio still counts.")
    clip_high: float = Field(0.2, ge=0, description="How far above 1 the ratio still counts.")
    dual_clip: float | None = Field(
        None, gt=1, description="Largest loss per unit of a negative advantage; null is no bound."
    )


def weight_of_action(
    params: PpoClipParams,
    advantages: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 per action that counts."""
    return weight_of_mask(advantages, mask)


@loss(
    formula=r"-\min(\rho A, \operatorname{clip}(\rho, 1 - \epsilon_l, 1 + \epsilon_h) A),\quad "
    r"\rho = \pi(a) / \pi_{\mathrm{old}}(a)",
    source="Schulman et al. 2017, arXiv:1707.06347, eq. 7; dual clip: Ye et al. 2019, "
    "arXiv:1912.09729, eq. 5",
    units="unit of the advantage",
    weights=weight_of_action,
    card=Card(
        characteristics="A pessimistic bound of the policy gradient; flat where the ratio is out.",
        use="On-policy control and fine-tuning of language models, several epochs per batch.",
        stability="The ratio is exp of a difference: it overflows float32 past 88 nats, where a "
        "negative advantage is unbounded unless dual_clip bounds it.",
        data="Actions with the log-probability that they were taken with; normalised advantages.",
    ),
    example=Example(
        {
            "log_probabilities": [-1.0, -0.5, -2.0],
            "old_log_probabilities": [-1.1, -0.9, -1.5],
            "advantages": [1.0, -0.5, 0.75],
        }
    ),
)
def ppo_clip(
    log_probabilities: ActionLogProbabilities,
    old_log_probabilities: OldLogProbabilities,
    advantages: Advantages,
    mask: Mask | None = None,
    *,
    params: PpoClipParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the clipped surrogate of each action; entropy and value losses are terms of their own.

    Where the clipped branch is the smaller, and at the edge of the clip, the gradient is 0.

    Returns one value per action, in units of the advantage; 0 where masked.
    """
    log_ratio = masked(log_probabilities - old_log_probabilities, mask)
    clips = (params.clip_low, params.clip_high, params.dual_clip)
    return masked(-clipped_surrogate(log_ratio, advantages, *clips), mask)
