"""IMPALA: policy gradient and value loss on trajectories of an older policy, by V-trace."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class ImpalaParams(LossParams):
    """Parameters of `impala`."""

    clip_rho: float = Field(1.0, gt=0, description="Largest ratio in a temporal difference.")
    clip_c: float = Field(1.0, gt=0, description="Largest ratio in a trace.")
    clip_policy_rho: float = Field(1.0, gt=0, description="Largest ratio of the policy gradient.")
    trace_decay: float = Field(1.0, ge=0, le=1, description="lambda: multiplies the traces.")
    value_weight: float = Field(0.5, ge=0, description="Weight of (v - V)^2.")


@loss(
    formula=r"-\rho_t (r_t + \gamma_t v_{t+1} - V_t) \log \pi(a_t) + w (v_t - V_t)^2,\quad "
    r"v_t = V_t + \delta_t + \gamma_t c_t (v_{t+1} - V_{t+1})",
    source="Espeholt et al. 2018, arXiv:1802.01561, eq. 1 and section 4.2",
    units="nats times the unit of the return",
    card=Card(
        characteristics="Corrects for the lag of the actors by clipped ratios, step by step.",
        use="Distributed actor-critic learning. Entropy is a term of its own.",
        stability="Ratios are clipped in logarithms and cannot overflow. Targets are constants.",
        data="Trajectories with the log-probability of the policy that acted; discount 0 where an "
        "episode ends.",
    ),
    example=Example(
        {
            "log_probabilities": [[-0.5, -1.0, -0.2]],
            "behaviour_log_probabilities": [[-0.6, -0.8, -0.3]],
            "values": [[0.5, 0.2, 0.1]],
            "rewards": [[1.0, 0.0, -0.5]],
            "discounts": [[0.9, 0.9, 0.9]],
            "bootstrap_values": [0.3],
        }
    ),
)
def impala(
    log_probabilities: Annotated[
        Float[Tensor, "rows time"],
        Arg(doc="Log-probability of each action under the policy.", gradient=True),
    ],
    behaviour_log_probabilities: Annotated[
        Float[Tensor, "rows time"], Arg(doc="The same under the policy that acted.")
    ],
    values: Annotated[
        Float[Tensor, "rows time"], Arg(doc="Estimated value of each state.", gradient=True)
    ],
    rewards: Annotated[Float[Tensor, "rows time"], Arg(doc="Reward of each step.")],
    discounts: Annotated[
        Float[Tensor, "rows time"],
        Arg(doc="Discount of what follows each step; 0 where the episode ends.", low=0, high=1),
    ],
    bootstrap_values: Annotated[
        Float[Tensor, "rows"], Arg(doc="Estimated value of the state after the last step.")
    ],
    target_values: Annotated[
        Float[Tensor, "rows time"],
        Arg(doc="Values that targets are made of, of a target network; `values` if absent."),
    ]
    | None = None,
    *,
    params: ImpalaParams,
) -> Float[Tensor, "rows time"]:
    """Policy gradient of each step with a V-trace advantage, plus the error of its value.

    Ratios and targets get no gradient.

    Returns one value per step.
    """
    log_ratio = (log_probabilities - behaviour_log_probabilities).detach()
    rho, c, policy_rho = (
        torch.exp(log_ratio.clamp(max=math.log(clip)))
        for clip in (params.clip_rho, params.clip_c, params.clip_policy_rho)
    )
    value = values.detach() if target_values is None else target_values
    following = torch.cat([value[:, 1:], bootstrap_values.unsqueeze(1)], 1)[:, : value.shape[1]]
    difference = rho * (rewards + discounts * following - value)
    correction = torch.zeros_like(bootstrap_values)
    corrections = [correction]  # v - V, from the last step back
    for t in reversed(range(value.shape[1])):
        trace = params.trace_decay * discounts[:, t] * c[:, t]
        correction = difference[:, t] + trace * correction
        corrections.append(correction)
    found = torch.stack(corrections[::-1], 1)
    target, target_after = value + found[:, :-1], following + found[:, 1:]
    advantage = policy_rho * (rewards + discounts * target_after - value)
    return params.value_weight * (target - values).square() - advantage * log_probabilities
