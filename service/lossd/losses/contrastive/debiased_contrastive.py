"""Debiased contrastive loss: negatives that are positives in truth are discounted."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, log_sum_exp, softplus
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.contrastive._views import split_views


class DebiasedContrastiveParams(LossParams):
    """Parameters of `debiased_contrastive`."""

    temperature: float = Field(0.5, ge=1e-3, le=1e3, description="What cosines are divided by.")
    positive_rate: float = Field(
        0.1, ge=0, lt=1, description="tau+: the chance that a negative is a positive in truth."
    )
    beta: float = Field(
        0.0, ge=0, le=100, description="How much more hard negatives count (HCL); 0: all alike."
    )


@loss(
    formula=r"-\log \frac{e^{s_+ / \tau}}{e^{s_+ / \tau} + N g}, \quad g = \max\left(\frac{"
    r"\sum_k w_k e^{s_k / \tau} - \tau^+ e^{s_+ / \tau}}{1 - \tau^+}, e^{-1 / \tau}\right), "
    r"\quad w_k = \frac{e^{\beta s_k / \tau}}{\sum_l e^{\beta s_l / \tau}}",
    source="Chuang et al. 2020, arXiv:2007.00224, eqs. 7 and 8; beta: Robinson et al. 2021, "
    "arXiv:2010.04592, section 3, and its reference code",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "rows"), ("rows", "rows"), ("rows", "rows")),
    card=Card(
        characteristics="NT-Xent whose negative term is corrected for false negatives, and with "
        "beta leans on hard ones (hard negative contrastive learning).",
        use="Self-supervised pretraining where classes are few, so false negatives are many.",
        stability="Where the correction exceeds the negatives, a floor takes over, which has no "
        "gradient; a large positive_rate often ends there. Differences in logarithms are exact.",
        data="Two views per row. A row alone has no negatives and the value 0.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def debiased_contrastive(
    left: Embeddings, right: Partners, *, params: DebiasedContrastiveParams
) -> Float[Tensor, "rows"]:
    """Mean of both views' losses, each against the 2 rows - 2 views of other rows.

    Returns one value per row, in nats, >= 0.
    """
    positive, negatives = split_views(direction(left), direction(right), params.temperature)
    rows, count = len(left), 2 * len(left) - 2
    if rows < 2:
        return positive * 0.0
    own = torch.cat((positive, positive))
    weights = torch.log_softmax(params.beta * negatives, dim=1)
    mean = log_sum_exp(negatives + weights, dim=1)
    floor = -1.0 / params.temperature
    corrected = _log_corrected(mean, own, params.positive_rate, floor)
    both = softplus(corrected + math.log(count) - own)
    return 0.5 * (both[:rows] + both[rows:])


def _log_corrected(mean: Tensor, own: Tensor, rate: float, floor: float) -> Tensor:
    """log of (e^mean - rate * e^own) / (1 - rate), at least the floor."""
    if rate == 0.0:
        return mean
    excess = math.log(rate) + own - mean
    some = excess < 0
    log_rest = torch.log(-torch.expm1(excess.masked_fill(~some, -1.0)))
    found = mean + log_rest - math.log1p(-rate)
    return torch.where(some & (found > floor), found, floor)
