"""Asymmetric unhinged loss (AUL): a power of the distance to a point beyond p = 1."""

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


class AsymmetricUnhingedParams(IgnoringParams):
    """Parameters of `asymmetric_unhinged`."""

    a: float = Field(
        1.5, gt=1, le=100, description="Where the distance is taken from, in probability."
    )
    power: float = Field(0.9, ge=1e-3, le=8, description="The power; at 1 it is 1 - p.")


@loss(
    formula=r"\frac{(a - p_y)^r - (a - 1)^r}{r},\quad p = \operatorname{softmax}(z)",
    source="Zhou et al. 2021, arXiv:2106.03110, AUL",
    units="unitless",
    weights=counted_item,
    card=Card(
        characteristics="Bounded. Where clean labels are the most frequent ones its minimum "
        "is that of clean data, if the power is small enough: at most 1 always is.",
        use="Noisy labels, alone or as the active term beside a bounded passive one.",
        stability="Taken as expm1 of a log1p, exact where p is near 1. The gradient of a sure "
        "wrong item vanishes with p.",
        data="Wrong labels, each class still mostly right; a and the power want a search.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def asymmetric_unhinged(
    logits: Logits, labels: IgnorableLabels, *, params: AsymmetricUnhingedParams
) -> Float[Tensor, "rows *spatial"]:
    """A power of a - p less its smallest, over the power.

    Returns one value per item, >= 0, 0 where ignored.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    miss = miss_of(at_label(log_p, safe))
    rest, power = params.a - 1.0, params.power
    value: Tensor = rest**power * torch.expm1(power * torch.log1p(miss / rest)) / power
    return value.masked_fill(ignored, 0.0)
