"""Categorical distributional Q-learning: the whole distribution of the return, on fixed atoms."""

from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import times_log
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._values import Discounts, Rewards


class C51Params(LossParams):
    """Parameters of `c51`."""

    lowest: float = Field(-10.0, description="Return of the first atom.")
    highest: float = Field(10.0, description="Return of the last atom; above `lowest`.")

    @field_validator("highest")
    @classmethod
    def _above_lowest(cls, highest: float, info: Any) -> float:
        if highest <= info.data.get("lowest", -10.0):
            raise ValueError("highest must be above lowest")
        return highest


@loss(
    formula=r"-\sum_i (\Phi \mathcal{T} p')_i \log \operatorname{softmax}(z)_i",
    source="Bellemare et al. 2017, arXiv:1707.06887, eq. 7 and algorithm 1",
    units="nats",
    matrices=(("atoms", "atoms"),),
    card=Card(
        characteristics="Cross-entropy to the shifted, shrunk and projected next distribution.",
        use="Discrete actions, where a classifier of returns learns steadier than a regression.",
        stability="As stable as cross_entropy. Returns beyond the atoms are put on the last one.",
        data="Steps with the distribution of the best next action under the target network.",
    ),
    example=Example(
        {
            "logits": [[0.1, 0.5, -0.2]],
            "next_probabilities": [[0.25, 0.5, 0.25]],
            "rewards": [0.5],
            "discounts": [0.9],
        },
        {"lowest": -1.0, "highest": 1.0},
    ),
)
def c51(
    logits: Annotated[
        Float[Tensor, "rows atoms"],
        Arg(doc="Raw scores of the atoms, of the action taken.", gradient=True),
    ],
    next_probabilities: Annotated[
        Float[Tensor, "rows atoms"],
        Arg(
            doc="Distribution of the next state's best action.", low=0, high=1, sums_to_one="atoms"
        ),
    ],
    rewards: Rewards,
    discounts: Discounts,
    *,
    params: C51Params,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the atoms with the projected distribution of reward plus what follows.

    The target gets no gradient.

    Returns one value per step, in nats, >= 0.
    """
    count = logits.shape[1]
    number = torch.arange(count, device=logits.device, dtype=logits.dtype)
    reach = params.highest - params.lowest
    atoms = params.lowest + reach * number / max(1, count - 1)
    moved = rewards.unsqueeze(1) + discounts.unsqueeze(1) * atoms
    place = (moved.clamp(params.lowest, params.highest) - params.lowest) * ((count - 1) / reach)
    # An atom takes what lands on it, and of what lands between two its share by nearness.
    share = (1.0 - (place.unsqueeze(1) - number.view(1, -1, 1)).abs()).clamp(min=0.0)
    target = (share * next_probabilities.unsqueeze(1)).sum(2)
    return -times_log(target, torch.log_softmax(logits, 1)).sum(1)
