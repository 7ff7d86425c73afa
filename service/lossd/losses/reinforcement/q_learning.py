"""Q-learning: the value of an action against its reward and the best that may follow."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._values import Discounts, Rewards


class QLearningParams(LossParams):
    """Parameters of `q_learning`."""

    error: Literal["squared", "huber"] = Field(
        "huber", description="What is paid for a temporal difference d: d^2, or Huber's function."
    )
    delta: float = Field(1.0, gt=0, description="Where Huber's function turns linear.")


@loss(
    formula=r"\rho\left(r + \gamma \max_a Q'(s', a) - Q(s, a_0)\right)",
    source="Mnih et al. 2015, Human-level control through deep reinforcement learning, eq. 2; "
    "double: van Hasselt et al. 2015, arXiv:1509.06461, eq. 4",
    units="squared units of the reward",
    card=Card(
        characteristics="Off-policy; the maximum overestimates, which the double form counters.",
        use="Discrete actions with a replay buffer and a target network.",
        stability="Huber bounds the gradient; values diverge where the target is the same network.",
        data="Steps of any policy, discount 0 at the end of an episode.",
    ),
    example=Example(
        {
            "action_values": [[1.0, 0.5], [0.2, -0.3]],
            "actions": [0, 1],
            "rewards": [0.5, 1.0],
            "discounts": [0.99, 0.0],
            "next_action_values": [[0.7, 1.1], [0.4, 0.0]],
        }
    ),
)
def q_learning(
    action_values: Annotated[
        Float[Tensor, "rows actions"], Arg(doc="Q of the state.", gradient=True)
    ],
    actions: Annotated[Int[Tensor, "rows"], Arg(doc="Action taken.", index_of="actions")],
    rewards: Rewards,
    discounts: Discounts,
    next_action_values: Annotated[
        Float[Tensor, "rows actions"], Arg(doc="Q of the next state, of the target network.")
    ],
    next_online_action_values: Annotated[
        Float[Tensor, "rows actions"],
        Arg(doc="Q of the next state that picks the action (double Q-learning)."),
    ]
    | None = None,
    *,
    params: QLearningParams,
) -> Float[Tensor, "rows"]:
    """Squared or Huber loss of the temporal difference; the target gets no gradient.

    Of equal values the first action is the best.

    Returns one value per step, in squared units of the reward, >= 0.
    """
    picks = next_action_values if next_online_action_values is None else next_online_action_values
    following = next_action_values.gather(1, picks.argmax(1, keepdim=True)).squeeze(1)
    target = rewards + discounts * following
    error = target - action_values.gather(1, actions.unsqueeze(1)).squeeze(1)
    if params.error == "squared":
        return error.square()
    return torch.nn.functional.huber_loss(
        error, torch.zeros_like(error), reduction="none", delta=params.delta
    )
