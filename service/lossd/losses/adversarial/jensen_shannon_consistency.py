"""Jensen-Shannon consistency: one answer for all views of an example, as in AugMix."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import kl_divergence_of, log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams


class JensenShannonConsistencyParams(LossParams):
    """Parameters of `jensen_shannon_consistency`: none."""


@loss(
    formula=r"\frac{1}{V} \sum_v \mathrm{KL}(p_v \,\|\, \bar p),"
    r"\quad \bar p = \frac{1}{V} \sum_v p_v",
    source="Hendrycks et al. 2020 (AugMix), arXiv:1912.02781, eq. 2",
    units="nats",
    card=Card(
        characteristics="0 where all views agree, at most log V.",
        use="Beside cross-entropy on the clean view, with a weight of about 12.",
        stability="The mean is a log-sum-exp, without the authors' clamp at 1e-7.",
        data="Logits of two views or more of each example, along axis 2.",
    ),
    example=Example({"logits": [[[2.0, 1.5, 1.8], [0.5, 0.9, 0.2], [-1.0, -0.5, 0.0]]]}),
)
def jensen_shannon_consistency(
    logits: Annotated[
        Float[Tensor, "rows classes views"],
        Arg(doc="Raw scores of every view.", gradient=True),
    ],
    *,
    params: JensenShannonConsistencyParams,
) -> Float[Tensor, "rows"]:
    """The mean divergence of the views' answers from their mean.

    Returns one value per row, in nats, >= 0 up to rounding; 0 of no views.
    """
    views = logits.shape[2]
    if not views:
        return logits.flatten(1).sum(1)
    log_p = torch.log_softmax(logits, dim=1)
    mean = log_sum_exp(log_p, 2).unsqueeze(2) - math.log(views)
    return kl_divergence_of(log_p, mean.expand_as(log_p)).mean(1)
