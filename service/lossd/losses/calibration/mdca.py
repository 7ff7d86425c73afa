"""MDCA: for each class, how often it was predicted on average against how often it was true."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import log_softmax
from lossd.losses._spec import Card, Example, LossParams


class MdcaParams(LossParams):
    """`mdca` has no parameters."""


@loss(
    formula=r"\frac{1}{K} \sum_k \left| \frac{1}{N} \sum_i (p_{ik} - [y_i = k]) \right|",
    source="Hebbalaguppe et al. 2022, arXiv:2203.13834, section 3, MDCA",
    units="probability",
    coupling="whole",
    card=Card(
        characteristics="Whole distributions are calibrated, not the predicted class alone, and "
        "everything is differentiable: there are no bins.",
        use="Beside cross_entropy or focal, with a coefficient of 1 to 50.",
        stability="Bounded by 2 / K. At a mean difference of 0 the subgradient is 0.",
        data="Batches in which most classes occur.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]], "labels": [0, 2, 2]}
    ),
)
def mdca(logits: RowLogits, labels: RowLabels, *, params: MdcaParams) -> Float[Tensor, ""]:
    """Mean over classes of the difference of mean probability and frequency in the call.

    Returns one value for the whole call, in [0, 2 / K].
    """
    log_p, right = log_softmax(logits), labels.unsqueeze(1)
    off = log_p.exp().scatter(1, right, torch.expm1(log_p.gather(1, right)))
    return off.sum(0).abs().mean() / max(len(logits), 1)
