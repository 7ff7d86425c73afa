"""Policy gradient: make actions more likely by as much as they are better than expected."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._policy import (
    ActionLogProbabilities,
    Mask,
    masked,
    weight_of_mask,
)


class ReinforceParams(LossParams):
    """`reinforce` has no parameters."""


def weight_of_action(
    params: ReinforceParams,
    returns: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 per action that counts."""
    return weight_of_mask(returns, mask)


@loss(
    formula=r"-(R - b) \log \pi(a)",
    source="Williams 1992, Machine Learning 8, 229-256, eq. 4",
    units="nats times the unit of the return",
    weights=weight_of_action,
    card=Card(
        characteristics="It is there for its gradient, not its value: unbiased, of high variance.",
        use="On-policy learning with one step per batch; the base line of policy gradients.",
        stability="Linear in log-probabilities, unbounded below: a baseline keeps the steps small.",
        data="Actions of the current policy and what they returned.",
    ),
    example=Example(
        {"log_probabilities": [-1.0, -0.5], "returns": [2.0, -1.0], "baselines": [0.5, 0.5]}
    ),
)
def reinforce(
    log_probabilities: ActionLogProbabilities,
    returns: Annotated[Float[Tensor, "rows *rest"], Arg(doc="Return of each action.")],
    baselines: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Expected return, of anything but the action; 0 if absent."),
    ]
    | None = None,
    mask: Mask | None = None,
    *,
    params: ReinforceParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the log-probability of an action, times its return above the baseline.

    Returns one value per action; 0 where masked.
    """
    advantages = returns if baselines is None else returns - baselines
    return masked(-advantages * log_probabilities, mask)
