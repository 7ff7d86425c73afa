"""Seesaw loss: rare classes are pushed less by items of frequent ones, unless they are wrong."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, is_ignored, log_softmax_counted, one_hot
from lossd.losses._spec import Arg, Card, Example
from lossd.losses.imbalance._prior import cross_entropy_of


class SeesawParams(IgnoringParams):
    """Parameters of `seesaw`."""

    mitigation: float = Field(
        0.8,
        ge=0,
        le=16,
        description="Power of the ratio of counts that spares rarer classes.",
    )
    compensation: float = Field(
        2.0, ge=0, le=16, description="Power of the ratio of scores that does not spare wrong ones."
    )
    eps: float = Field(0.01, ge=1e-12, le=1, description="Least score of the label in that ratio.")


def state(
    params: SeesawParams, logits: Tensor, labels: Tensor, cumulative_counts: Tensor | None = None
) -> dict[str, Tensor]:
    """`cumulative_counts`: the old ones, and how often each class is a label of this call."""
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    found = torch.zeros(logits.shape[1], dtype=logits.dtype, device=logits.device)
    found = found.index_add(0, safe.flatten(), (~ignored).flatten().to(logits.dtype))
    return {"cumulative_counts": found if cumulative_counts is None else cumulative_counts + found}


@loss(
    formula=r"-\log \frac{e^{z_y}}{\sum_k S_{yk} e^{z_k}},\quad S_{yk} = \min\left(1, "
    r"\frac{N_k}{N_y}\right)^p \max\left(1, \frac{\sigma_k}{\sigma_y}\right)^q,\ S_{yy} = 1",
    source="Wang et al. 2020, arXiv:2008.10032, mitigation and compensation factors, section 3",
    units="nats",
    weights=counted_item,
    coupling="coupled",
    state=state,
    card=Card(
        characteristics="cross_entropy in which a rarer class counts less in the denominator, by "
        "the counts seen so far, and more again where the model prefers it to the label.",
        use="Long-tailed classification and instance segmentation, without class counts known "
        "before.",
        stability="Factors are added as logarithms and have no gradient. Scores of the label below "
        "eps count as eps.",
        data="Labels in the order of training: counts grow with each call whose state is kept, and "
        "hold the call's own labels. Counts below 1 count as 1.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "cumulative_counts": [90, 9, 1],
        }
    ),
)
def seesaw(
    logits: Logits,
    labels: IgnorableLabels,
    cumulative_counts: Annotated[
        Float[Tensor, "classes"],
        Arg(doc="How often each class was a label so far, 0 if absent.", low=0, role="state"),
    ]
    | None = None,
    *,
    params: SeesawParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy with factors for all classes but the label's.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    with torch.no_grad():
        new = state(params, logits, labels, cumulative_counts)["cumulative_counts"]
        counts = new.to(logits.dtype).clamp_min(1.0).log()
        factors = params.mitigation * _fewer(counts, safe)
        log_p = log_softmax_counted(logits, ignored)
        own = at_label(log_p, safe).clamp_min(math.log(params.eps)).unsqueeze(1)
        factors = factors + params.compensation * torch.relu(log_p - own)
        factors = factors.masked_fill(one_hot(safe, logits) == 1, 0.0)
    return cross_entropy_of(logits + factors, labels, params.ignore_index)


def _fewer(log_counts: Tensor, labels: Tensor) -> Tensor:
    """min(0, log N_k - log N_y) along axis 1."""
    return (log_counts - log_counts[labels].unsqueeze(-1)).clamp_max(0.0).movedim(-1, 1)
