"""Discrete-time survival by hazards: does the event come in this interval, if not before?"""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.survival._times import Events, IntervalLogits, Intervals


class LogisticHazardParams(LossParams):
    """`logistic_hazard` has no parameters."""


@loss(
    formula=r"-\sum_{k < t} \log(1 - \sigma(z_k)) - e \log \sigma(z_t) - (1 - e) "
    r"\log(1 - \sigma(z_t))",
    source="Brown 1975, Biometrics 31, 863-872; Gensheimer and Narasimhan 2019, arXiv:1805.00917 "
    "(nnet-survival), eq. 3; Kvamme and Borgan 2019, arXiv:1910.06724, eq. 5",
    units="nats",
    card=Card(
        characteristics="Binary cross-entropy of each interval that the row was at risk in.",
        use="Survival with a neural network, hazards not proportional; also churn and retention.",
        stability="Stable for any finite logit.",
        data="Times cut into intervals, by quantiles of the event times; right-censored.",
    ),
    example=Example(
        {"logits": [[-1.0, -0.5, 0.2], [-2.0, -1.0, -0.5]], "intervals": [1, 2], "events": [1, 0]}
    ),
)
def logistic_hazard(
    logits: IntervalLogits, intervals: Intervals, events: Events, *, params: LogisticHazardParams
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of surviving all intervals before, and of what came in the last.

    A censored row counts as having survived its interval.

    Returns one value per row, in nats, >= 0.
    """
    number = torch.arange(logits.shape[1], device=logits.device)
    last = number == intervals.unsqueeze(1)
    at_risk = number <= intervals.unsqueeze(1)
    now = last & (events == 1).unsqueeze(1)
    return softplus(torch.where(now, -logits, logits)).masked_fill(~at_risk, 0.0).sum(1)
