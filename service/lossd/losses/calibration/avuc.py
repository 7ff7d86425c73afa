"""AvUC: right predictions should be certain, and wrong ones uncertain."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import log_softmax
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import confidence_and_gap


class AvucParams(LossParams):
    """Parameters of `avuc`."""

    threshold: float = Field(
        0.5, ge=0, le=1e3, description="Entropy in nats above which a prediction is uncertain."
    )
    eps: float = Field(
        1e-10, ge=1e-30, le=1, description="Added to what is good, so that it never is 0."
    )


@loss(
    formula=r"\log\left(1 + \frac{n_{AU} + n_{IC}}{n_{AC} + n_{IU}}\right),\quad "
    r"n_{AC} = \sum r (1 - \tanh u),\ n_{AU} = \sum r \tanh u,\ "
    r"n_{IC} = \sum (1 - r)(1 - \tanh u),\ n_{IU} = \sum (1 - r) \tanh u",
    source="Krishnan and Tickoo 2020, arXiv:2012.07923, section 3",
    units="nats",
    coupling="whole",
    card=Card(
        characteristics="Counts of accurate and inaccurate, certain and uncertain rows, weighed "
        "by confidence r and entropy u; the counts jump where a row changes its side.",
        use="Beside cross_entropy or an ELBO, after some epochs, to calibrate uncertainty.",
        stability="Where no row is good, eps bounds the value. Being right and being certain "
        "count as constant.",
        data="Batches with right and wrong rows. Set the threshold midway between the mean "
        "entropies of both.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]], "labels": [0, 2, 2]}
    ),
)
def avuc(logits: RowLogits, labels: RowLabels, *, params: AvucParams) -> Float[Tensor, ""]:
    """Log of 1 plus the ratio of bad to good rows, each weighed by how clearly it is so.

    The first of tied classes is the predicted one.

    Returns one value for the whole call, in nats, >= 0.
    """
    if not len(logits):
        return logits.sum()
    confidence, gap = confidence_and_gap(logits, labels)
    log_p = log_softmax(logits)
    entropy = -(log_p.exp() * log_p).sum(1)
    accurate, certain = gap.detach() >= 0, entropy.detach() <= params.threshold
    degree = torch.where(certain, 1.0 - torch.tanh(entropy), torch.tanh(entropy))
    # Of an accurate row it is r; of another 1 - r, the gap being -r there.
    weight = torch.where(accurate, confidence, 1.0 + gap) * degree
    good = accurate == certain
    kept = weight.masked_fill(~good, 0.0).sum() + params.eps
    return torch.log1p(weight.masked_fill(good, 0.0).sum() / kept)
