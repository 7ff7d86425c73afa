"""Asymmetric exponential loss (AEL): e to the minus p."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities, miss_of


class AsymmetricExponentialParams(IgnoringParams):
    """Parameters of `asymmetric_exponential`."""

    a: float = Field(
        2.5, ge=0.01, le=1e3, description="What the probability is divided by; large: near 1 - p."
    )


@loss(
    formula=r"e^{-p_y / a},\quad p = \operatorname{softmax}(z)",
    source="Zhou et al. 2021, arXiv:2106.03110, AEL",
    units="unitless",
    weights=counted_item,
    card=Card(
        characteristics="Between e^(-1/a) and 1. Where clean labels are the most frequent "
        "ones its minimum is that of clean data, if a is large enough.",
        use="Noisy labels, alone or as the active term beside a bounded passive one.",
        stability="Bounded value and gradient, at most 1 / (4 a). The gradient of a sure wrong "
        "item vanishes with p.",
        data="Wrong labels, each class still mostly right; a wants a search.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def asymmetric_exponential(
    logits: Logits, labels: IgnorableLabels, *, params: AsymmetricExponentialParams
) -> Float[Tensor, "rows *spatial"]:
    """The exponential of minus the label's probability over a.

    Returns one value per item, in [e^(-1/a), 1], 0 where ignored; 1 where the label's logit is
    -inf.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    miss = miss_of(at_label(log_p, safe))
    value = torch.exp((miss - 1.0) / params.a)
    return value.masked_fill(ignored, 0.0)
