"""Asymmetric loss of one label per row: smoothed cross-entropy, focal by class and side."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import counted, is_ignored, log_softmax_counted, one_hot, power, times_log
from lossd.losses._spec import Card, Example, LossParams


class AsymmetricSingleLabelParams(LossParams):
    """Parameters of `asymmetric_single_label`."""

    gamma_positive: float = Field(1.0, ge=0, le=16, description="Focus on a hard right class.")
    gamma_negative: float = Field(4.0, ge=0, le=16, description="Focus on likely wrong classes.")
    label_smoothing: float = Field(
        0.1, ge=0, le=1, description="Share of the target spread evenly over the possible classes."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: AsymmetricSingleLabelParams, labels: Int[Tensor, "rows *spatial"]
) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-t_y (1 - p_y)^{\gamma_+} \log p_y - \sum_{k \ne y} t_k\, p_k^{\gamma_-} \log p_k,"
    r"\quad t = (1 - a) \mathbf{1}_y + a / K,\quad p = \operatorname{softmax}(z)",
    source="Ben-Baruch et al. 2020, arXiv:2009.14119, the authors' ASLSingleLabel",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Without smoothing it is focal; with it wrong classes of small probability "
        "cost next to nothing, where plain smoothing would pull them up. Not convex.",
        use="Fine-tuning large classifiers with smoothing; asymmetric for several labels per row.",
        stability="Powers are taken of log-probabilities; where 1 - p is 0 value and gradient are.",
        data="As focal: strong imbalance, clean labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def asymmetric_single_label(
    logits: Logits, labels: IgnorableLabels, *, params: AsymmetricSingleLabelParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of a smoothed label, each class times a focal factor of its side.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf. The gradient flows through the factors.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(logits, ignored)
    hit = one_hot(labels.masked_fill(ignored, 0), log_p.detach())
    impossible = log_p == -torch.inf
    possible = (~impossible).to(log_p.dtype)
    spread = possible / possible.sum(1, keepdim=True)
    target = (1.0 - params.label_smoothing) * hit + params.label_smoothing * spread
    finite = log_p.masked_fill(impossible, 0.0)
    of_right = power(torch.where(impossible, 1.0, -torch.expm1(finite)), params.gamma_positive)
    of_wrong = torch.exp(params.gamma_negative * finite)
    factor = torch.where(hit == 1, of_right, of_wrong)
    return -times_log(target * factor, log_p).sum(1).masked_fill(ignored, 0.0)
