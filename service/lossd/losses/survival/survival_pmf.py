"""Discrete-time survival by probabilities: in which interval will the event come?"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.survival._times import Events, IntervalLogits, Intervals


class SurvivalPmfParams(LossParams):
    """Parameters of `survival_pmf`."""

    parameterization: Literal["pmf", "mtlr"] = Field(
        "pmf",
        description="mtlr (multi-task logistic regression) adds up logits from the end first.",
    )


@loss(
    formula=r"-e \log p_t - (1 - e) \log \sum_{k > t} p_k,\quad "
    r"p = \operatorname{softmax}(z, 0)",
    source="Lee et al. 2018, DeepHit, AAAI, eq. 3 for one risk; Kvamme and Borgan 2019, "
    "arXiv:1910.06724, eq. 9; mtlr: Yu et al. 2011, NeurIPS 24",
    units="nats",
    card=Card(
        characteristics="DeepHit's likelihood: a softmax over intervals and one more for never.",
        use="Survival where the shape of the distribution matters; its ranking term is a ranknet.",
        stability="In logarithms throughout; a censored row keeps its gradient however unlikely.",
        data="Times cut into intervals; right-censored.",
    ),
    example=Example(
        {"logits": [[-1.0, -0.5, 0.2], [-2.0, -1.0, -0.5]], "intervals": [1, 2], "events": [1, 0]}
    ),
)
def survival_pmf(
    logits: IntervalLogits, intervals: Intervals, events: Events, *, params: SurvivalPmfParams
) -> Float[Tensor, "rows"]:
    """Negative log-probability of the event's interval, or of any later one for a censored row.

    Returns one value per row, in nats, >= 0.
    """
    if params.parameterization == "mtlr":
        logits = logits.flip(1).cumsum(1).flip(1)
    log_p = torch.log_softmax(torch.nn.functional.pad(logits, (0, 1)), 1)
    number = torch.arange(log_p.shape[1], device=logits.device)
    interval = intervals.unsqueeze(1)
    possible = torch.where((events == 1).unsqueeze(1), number == interval, number > interval)
    return -log_sum_exp(log_p.masked_fill(~possible, -torch.inf), 1)
