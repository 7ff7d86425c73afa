"""Bradley-Terry loss of a reward model: the better answer should score higher."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.preference._pairs import smoothed_logistic


class BradleyTerryParams(LossParams):
    """Parameters of `bradley_terry`."""

    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of pairs that are labelled the wrong way round."
    )
    center_weight: float = Field(
        0.0, ge=0, description="Weight of (r_w + r_l)^2, which holds the rewards near zero."
    )


@loss(
    formula=r"-\log \sigma(r_w - r_l - m) + c\,(r_w + r_l)^2",
    source="Bradley and Terry 1952, Biometrika 39, 324-345; margin: Touvron et al. 2023, "
    "arXiv:2307.09288, eq. 2; centring: Eisenstein et al. 2023, arXiv:2312.09244",
    units="nats",
    card=Card(
        characteristics="Maximum likelihood of the better item winning; only differences count.",
        use="Reward models and any scoring from comparisons of two.",
        stability="Stable for any finite reward. The level of the rewards is free: a small "
        "center_weight (0.01) fixes it.",
        data="Pairs; a margin where raters said how much better.",
    ),
    example=Example(
        {"chosen_rewards": [1.5, 0.2], "rejected_rewards": [0.5, 0.7], "margins": [0.5, 0.0]},
        {"center_weight": 0.01},
    ),
)
def bradley_terry(
    chosen_rewards: Annotated[
        Float[Tensor, "rows"], Arg(doc="Scores of the preferred items.", gradient=True)
    ],
    rejected_rewards: Annotated[
        Float[Tensor, "rows"], Arg(doc="Scores of the other items.", gradient=True)
    ],
    margins: Annotated[
        Float[Tensor, "rows"],
        Arg(doc="By how much the preferred item should be ahead; 0 if absent."),
    ]
    | None = None,
    *,
    params: BradleyTerryParams,
) -> Float[Tensor, "rows"]:
    """Minus the log-probability that the preferred item wins.

    Returns one value per pair, in nats, >= 0.
    """
    difference = chosen_rewards - rejected_rewards
    if margins is not None:
        difference = difference - margins
    value = smoothed_logistic(difference, params.label_smoothing)
    if not params.center_weight:
        return value
    return value + params.center_weight * (chosen_rewards + rejected_rewards).square()
