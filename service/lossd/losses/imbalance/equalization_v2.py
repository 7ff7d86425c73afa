"""Equalization loss v2 (EQLv2): each class's question is weighed by its gradients so far."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._ops import is_ignored, one_hot, softplus
from lossd.losses._spec import Arg, Card, Example

_BALANCED = 100.0  # the ratio of gradients before any was seen
_LEAST = 1e-10  # added to the sum of negative gradients, so that a ratio is finite


class EqualizationV2Params(IgnoringParams):
    """Parameters of `equalization_v2`."""

    gamma: float = Field(12.0, ge=0, le=1e3, description="Steepness of the map to weights.")
    mu: float = Field(0.8, ge=0, le=100, description="The ratio at which the map is 1/2.")
    alpha: float = Field(
        4.0, ge=0, le=1e3, description="How much positives gain where negatives are weighed down."
    )
    objectness: bool = Field(
        False, description="Whether the last class says that there is no object, with weight 1."
    )


Sums = Annotated[
    Float[Tensor, "classes"],
    Arg(doc="Sum of sizes of weighed gradients so far, 0 if absent.", low=0, role="state"),
]


def state(
    params: EqualizationV2Params,
    logits: Tensor,
    labels: Tensor,
    positive_gradients: Tensor | None = None,
    negative_gradients: Tensor | None = None,
) -> dict[str, Tensor]:
    """`positive_gradients`, `negative_gradients`: the old ones, and what this call adds."""
    ignored = is_ignored(labels, params.ignore_index).unsqueeze(1)
    targets = one_hot(labels.masked_fill(ignored.squeeze(1), 0), logits)
    weights = _weights(targets, positive_gradients, negative_gradients, params)
    sizes = (weights * (torch.sigmoid(logits) - targets).abs()).masked_fill(ignored, 0.0)
    if params.objectness:
        sizes[:, -1] = 0.0
    added = ((sizes * targets).sum(0), (sizes * (1.0 - targets)).sum(0))
    old = (positive_gradients, negative_gradients)
    new = [x if before is None else before + x for before, x in zip(old, added, strict=True)]
    return {"positive_gradients": new[0], "negative_gradients": new[1]}


@loss(
    formula=r"\sum_k u_k y_k \log(1 + e^{-z_k}) + w_k (1 - y_k) \log(1 + e^{z_k}),\quad "
    r"w_k = \sigma(\gamma (g_k - \mu)),\ u_k = 1 + \alpha (1 - w_k),\ "
    r"g_k = \frac{\sum \lvert \nabla_k^+ \rvert}{\sum \lvert \nabla_k^- \rvert}",
    source="Tan et al. 2020, arXiv:2012.08548, the gradient guided reweighing",
    units="nats",
    weights=counted_item,
    state=state,
    card=Card(
        characteristics="Balances the positive and the negative gradients that each class has got "
        "over the whole training, whatever the counts.",
        use="Long-tailed detection and instance segmentation, in place of binary cross-entropy.",
        stability="Weights are of earlier calls and have no gradient: w is at most 1, u at most "
        "1 + alpha. The sums only grow; start anew where the data change.",
        data="One label per item; background is a class of its own, the last, with objectness.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "positive_gradients": [9.0, 4.0, 0.5],
            "negative_gradients": [8.0, 9.0, 5.0],
        }
    ),
)
def equalization_v2(
    logits: Annotated[Float[Tensor, "rows classes"], Arg(doc="Raw scores.", gradient=True)],
    labels: Annotated[
        Int[Tensor, "rows"],
        Arg(doc="Class of each item, or `ignore_index`.", index_of="classes"),
    ],
    positive_gradients: Sums | None = None,
    negative_gradients: Sums | None = None,
    *,
    params: EqualizationV2Params,
) -> Float[Tensor, "rows"]:
    """Weighed binary cross-entropies of all classes, added up.

    Returns one value per item, in nats, >= 0, 0 where ignored. Without both sums all weights are
    those of balanced classes; one that is absent beside the other is 0.
    """
    ignored = is_ignored(labels, params.ignore_index)
    targets = one_hot(labels.masked_fill(ignored, 0), logits)
    weights = _weights(targets, positive_gradients, negative_gradients, params)
    terms = softplus(torch.where(targets == 1, -logits, logits))
    return (weights * terms).sum(1).masked_fill(ignored, 0.0)


def _weights(
    targets: Tensor, positive: Tensor | None, negative: Tensor | None, params: EqualizationV2Params
) -> Tensor:
    none = torch.zeros_like(targets[:0].sum(0))
    ratio = none + _BALANCED
    if positive is not None or negative is not None:
        below = none if negative is None else negative
        ratio = (none if positive is None else positive) / (below + _LEAST)
    of_negatives = torch.sigmoid(params.gamma * (ratio - params.mu))
    if params.objectness:
        of_negatives = torch.cat([of_negatives[:-1], none[-1:] + 1.0])
    of_positives = 1.0 + params.alpha * (1.0 - of_negatives)
    return torch.where(targets == 1, of_positives, of_negatives)
