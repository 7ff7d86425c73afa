"""Bi-tempered logistic loss: a bounded logarithm of a heavy-tailed softmax."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import is_ignored, one_hot, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.robust._tempered import log_t, log_tempered_softmax


class BiTemperedParams(IgnoringParams):
    """Parameters of `bi_tempered`."""

    t1: float = Field(
        0.8, ge=0, le=1, description="Temperature of the logarithm. Below 1 the loss is bounded."
    )
    t2: float = Field(
        1.3,
        ge=0.1,
        le=4,
        description="Temperature of the softmax. Above 1 its tails are heavy, below 1 it gives "
        "classes that are far behind a probability of 0.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of the target spread evenly over the possible classes."
    )


@loss(
    formula=r"\sum_k t_k (\log_{t_1} t_k - \log_{t_1} p_k) - \frac{t_k^{2 - t_1} - p_k^{2 - t_1}}"
    r"{2 - t_1},\quad p_k = \exp_{t_2}(z_k - \lambda(z)),\ \textstyle\sum_k p_k = 1",
    source="Amid et al. 2019, arXiv:1906.03361, the bi-tempered loss and tempered softmax",
    units="nats at t1 = 1",
    weights=counted_item,
    card=Card(
        characteristics="Bounded by 1 / (1 - t1), against outliers far away; "
        "heavy tails against wrong labels near the boundary. At t1 = t2 = 1 cross_entropy.",
        use="Noisy labels where cross_entropy overfits, with few other changes.",
        stability="Computed in float64; the softmax's normalizer is solved to the last digits, its "
        "gradient that of the implicit function, not of the iteration.",
        data="Small and large margin noise. Smoothing spreads over all possible classes, the "
        "label's too; the authors' code spreads over the others.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def bi_tempered(
    logits: Logits, labels: IgnorableLabels, *, params: BiTemperedParams
) -> Float[Tensor, "rows *spatial"]:
    """The Bregman divergence of a tempered logarithm, of the target from a tempered softmax.

    Returns one value per item, >= 0, 0 where ignored. Where the label has probability 0 it is
    bounded and without a pull on the label's logit, but at t1 = 1 +inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    z = logits.double().masked_fill(ignored.unsqueeze(1), 0.0)
    log_p = log_tempered_softmax(z, params.t2)
    possible = (z != -torch.inf).to(z.dtype)
    a = params.label_smoothing
    target = (1.0 - a) * one_hot(labels.masked_fill(ignored, 0), z)
    target = target + a * possible / possible.sum(1, keepdim=True)
    t1, order = params.t1, 2.0 - params.t1
    impossible = log_p == -torch.inf
    p_power = torch.exp(order * log_p.masked_fill(impossible, 0.0)).masked_fill(impossible, 0.0)
    log_target = target.masked_fill(target == 0, 1.0).log()
    own = target * log_t(log_target, t1) - target**order / order
    return (
        (own - times_log(target, _log_t(log_p, impossible, t1)) + p_power / order)
        .sum(1)
        .masked_fill(ignored, 0.0)
        .to(logits.dtype)
    )


def _log_t(log_p: Tensor, impossible: Tensor, t: float) -> Tensor:
    """The tempered logarithm, its gradient 0 where p = 0."""
    least = -1.0 / (1.0 - t) if t < 1 else -torch.inf
    return log_t(log_p.masked_fill(impossible, 0.0), t).masked_fill(impossible, least)
