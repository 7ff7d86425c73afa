"""Asymmetric generalized cross-entropy (AGCE): whichever label is the most likely wins."""

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


class AsymmetricGeneralizedCrossEntropyParams(IgnoringParams):
    """Parameters of `asymmetric_generalized_cross_entropy`."""

    a: float = Field(
        1.0, ge=1e-3, le=100, description="Added to probabilities. Near 0: a power of p alone."
    )
    q: float = Field(2.0, ge=1e-3, le=8, description="The power; at 1 it is 1 - p.")


@loss(
    formula=r"\frac{(a + 1)^q - (a + p_y)^q}{q},\quad p = \operatorname{softmax}(z)",
    source="Zhou et al. 2021, arXiv:2106.03110, AGCE",
    units="unitless",
    weights=counted_item,
    card=Card(
        characteristics="Bounded. Where clean labels are the most frequent ones its minimum "
        "is that of clean data, if q is large enough: q >= 1 always is.",
        use="Noisy labels, alone or as the active term beside a bounded passive one.",
        stability="Taken as -expm1 of a log1p, exact where p is near 1. The gradient of a sure "
        "wrong item vanishes with p.",
        data="Wrong labels, each class still mostly right; a and q want a search.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def asymmetric_generalized_cross_entropy(
    logits: Logits, labels: IgnorableLabels, *, params: AsymmetricGeneralizedCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """The power q of a + p short of its largest, over q.

    Returns one value per item, >= 0, 0 where ignored.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    miss = miss_of(at_label(log_p, safe))
    top = params.a + 1.0
    value: Tensor = -(top**params.q) * torch.expm1(params.q * torch.log1p(-miss / top)) / params.q
    return value.masked_fill(ignored, 0.0)
