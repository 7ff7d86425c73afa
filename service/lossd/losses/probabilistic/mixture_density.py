"""Negative log-likelihood of a mixture of normal distributions: a mixture density network."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._scales import HALF_LOG_2_PI, scaled


class MixtureDensityParams(LossParams):
    """`mixture_density` has no parameters."""


@loss(
    formula=r"-\log \sum_k \pi_k \prod_j \frac{1}{\sqrt{2 \pi} \sigma_{kj}} e^{-\frac{1}{2} "
    r"(\frac{y_j - \mu_{kj}}{\sigma_{kj}})^2},\quad \pi = \operatorname{softmax}(z)",
    source="Bishop 1994, Mixture Density Networks, eq. 29; a scale per component and feature",
    units="nats",
    topics=("uncertainty",),
    card=Card(
        characteristics="Any number of modes: several answers may be right, and the value says "
        "how likely each is.",
        use="Inverse problems, trajectories, handwriting: where the mean of two right answers is "
        "wrong.",
        stability="Log-sum-exp over components, logarithms of scales. A component that settles on "
        "one row drives its scale to 0 and the value down without bound: bound log_scales.",
        data="Targets with several modes; many rows per component.",
    ),
    example=Example(
        {
            "mixture_logits": [[0.5, -0.5]],
            "means": [[[1.0, 2.0], [0.0, -1.0]]],
            "log_scales": [[[0.0, 0.5], [-0.5, 0.0]]],
            "target": [[0.5, 1.0]],
        }
    ),
)
def mixture_density(
    mixture_logits: Annotated[
        Float[Tensor, "rows components"],
        Arg(doc="Raw scores of the components.", gradient=True),
    ],
    means: Annotated[
        Float[Tensor, "rows components features"],
        Arg(doc="Mean of each component, in the unit of the target.", gradient=True),
    ],
    log_scales: Annotated[
        Float[Tensor, "rows components features"],
        Arg(doc="Natural logarithm of each component's standard deviations.", gradient=True),
    ],
    target: Annotated[Float[Tensor, "rows features"], Arg(doc="True vectors.", gradient=True)],
    *,
    params: MixtureDensityParams,
) -> Float[Tensor, "rows"]:
    """Minus the logarithm of the mixture's density at the target: one value per row.

    +inf, without a gradient, where every component is too far to tell, or there is none.
    """
    difference = target.unsqueeze(1) - means
    # What is so far that the square is no number has density 0, and no gradient.
    most = 0.5 * math.log(torch.finfo(difference.dtype).max) - 1.0
    with torch.no_grad():
        far = difference.abs().log() - log_scales > most
        impossible = far.any(2)
    z = scaled(difference.masked_fill(far, 0.0), log_scales)
    log_density = -(0.5 * z.square() + log_scales + HALF_LOG_2_PI).sum(2)
    log_p = torch.log_softmax(mixture_logits, 1) + log_density
    nowhere = impossible.all(1)
    log_p = log_p.masked_fill(impossible, -torch.inf).masked_fill(nowhere.unsqueeze(1), 0.0)
    return -log_sum_exp(log_p, 1).masked_fill(nowhere, -torch.inf)
