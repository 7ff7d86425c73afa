"""Poly-1 of a yes-or-no answer: binary cross-entropy, or focal, and more of its first term."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams


class PolyBinaryCrossEntropyParams(LossParams):
    """Parameters of `poly_binary_cross_entropy`."""

    epsilon: float = Field(2.0, ge=-1, le=1e6, description="Added weight of the first term.")
    gamma: float = Field(0.0, ge=0, le=16, description="Focus, unitless. 0 is no focal factor.")
    alpha: float | None = Field(
        None, ge=0, le=1, description="Factor of positives, 1 - alpha of negatives; null is 1."
    )


@loss(
    formula=r"\alpha_t \left(-(1 - p_t)^\gamma \log p_t + \epsilon (1 - p_t)^{\gamma + 1}\right),"
    r"\quad p_t = \sigma(z) \text{ or } 1 - \sigma(z)",
    source="Leng et al. 2022, arXiv:2204.12511, Poly-1 of cross-entropy and of focal loss",
    units="nats",
    card=Card(
        characteristics="Sigmoid focal, or binary cross-entropy, with the leading term of its "
        "series weighed anew; not convex.",
        use="Detection with gamma 2 and epsilon -1, multilabel data with gamma 0.",
        stability="Powers and logarithms are taken of the logit, so nothing saturates early.",
        data="As sigmoid_focal.",
    ),
    example=Example({"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1, 0], [0, 1]]}),
)
def poly_binary_cross_entropy(
    logits: Scores, targets: BinaryTargets, *, params: PolyBinaryCrossEntropyParams
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy or focal, plus epsilon times what the right side is short of certainty.

    A target between 0 and 1 gives the expectation over positive and negative. At an epsilon of -1
    the value still is >= 0.

    Returns one value per element, in nats.
    """
    positive = _side(-logits, params) * targets
    negative = _side(logits, params) * (1.0 - targets)
    if params.alpha is None:
        return positive + negative
    return params.alpha * positive + (1.0 - params.alpha) * negative


def _side(away: Tensor, params: PolyBinaryCrossEntropyParams) -> Tensor:
    """The value of an answer whose score is `away` on the wrong side."""
    miss, log_left = softplus(away), -softplus(-away)
    first = params.epsilon * torch.exp(log_left)
    return (miss + first) * torch.exp(params.gamma * log_left)
