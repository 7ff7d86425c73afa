"""Taylor cross-entropy: the first terms of the logarithm's series around p = 1."""

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


class TaylorCrossEntropyParams(IgnoringParams):
    """Parameters of `taylor_cross_entropy`."""

    order: int = Field(
        2, ge=1, le=100, description="Terms that are kept. 1 is 1 - p; more come to -log p."
    )


@loss(
    formula=r"\sum_{i=1}^{t} \frac{(1 - p_y)^i}{i},\quad p = \operatorname{softmax}(z)",
    source="Feng et al. 2020, Can cross entropy loss be robust to label noise?, Taylor-CE",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Bounded by the harmonic number of the order; between absolute error "
        "(order 1) and cross_entropy (no end).",
        use="Noisy labels; a higher order for cleaner ones, or more classes.",
        stability="A sum of positive terms of 1 - p, taken as -expm1(log p). Gradients of sure "
        "wrong items vanish.",
        data="Wrong labels; the paper has orders 2 to 6 by data set.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def taylor_cross_entropy(
    logits: Logits, labels: IgnorableLabels, *, params: TaylorCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """The Taylor polynomial of -log p at p = 1.

    Returns one value per item, >= 0, 0 where ignored.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    miss = miss_of(at_label(log_p, safe))
    value = torch.zeros_like(miss)
    for i in range(params.order, 0, -1):  # Horner's rule
        value = miss * (value + 1.0 / i)
    return value.masked_fill(ignored, 0.0)
