"""Leave-one-out policy gradient: the other answers to a prompt are the baseline."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class RlooParams(LossParams):
    """Parameters of `rloo`."""

    leave_one_out: bool = Field(
        True, description="False takes the mean of all answers as the baseline instead."
    )


@loss(
    formula=r"-\left(r_i - \tfrac{1}{k - 1} \sum_{j \ne i} r_j\right) \log \pi(y_i)",
    source="Ahmadian et al. 2024, arXiv:2402.14740, eq. 7; Kool et al. 2019, Buy 4 REINFORCE "
    "Samples, Get a Baseline for Free",
    units="nats times the unit of the reward",
    card=Card(
        characteristics="Unbiased policy gradient; the baseline costs no model.",
        use="Fine-tuning of language models with 2 to 16 answers to each prompt.",
        stability="Linear in log-probabilities. Equal rewards of a prompt give no gradient.",
        data="Several answers to each prompt, sampled from the current policy.",
    ),
    example=Example({"log_probabilities": [[-3.0, -2.5, -4.0]], "rewards": [[1.0, 0.0, 0.5]]}),
)
def rloo(
    log_probabilities: Annotated[
        Float[Tensor, "rows answers"],
        Arg(doc="Log-probability of each answer, summed over its tokens.", gradient=True),
    ],
    rewards: Annotated[Float[Tensor, "rows answers"], Arg(doc="Reward of each answer.")],
    *,
    params: RlooParams,
) -> Float[Tensor, "rows answers"]:
    """Minus the log-probability of an answer, times its reward above that of the others.

    A single answer has no others: its baseline is its own reward.

    Returns one value per answer.
    """
    count = rewards.shape[1]
    advantages = rewards - rewards.mean(1, keepdim=True) if count else rewards
    if params.leave_one_out and count > 1:
        advantages = advantages * (count / (count - 1))
    return -advantages * log_probabilities
