"""Binary cross-entropy on probabilities that the caller computed."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets
from lossd.losses._spec import Arg, Card, Example, LossParams


class BinaryCrossEntropyParams(LossParams):
    """Parameters of `binary_cross_entropy`."""

    eps: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Probabilities are moved into [eps, 1 - eps]; the gradient is that of the "
        "moved point and passes through. 0 is exact: a sure wrong answer costs +inf.",
    )


@loss(
    formula=r"-y \log p - (1 - y) \log(1 - p)",
    source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.90",
    units="nats",
    card=Card(
        characteristics="Convex in the probability, unbounded; a proper scoring rule.",
        use="Only where no logits are to be had; else binary_cross_entropy_with_logits.",
        stability="A probability near 0 or 1 has lost what its logit knew. The gradient is "
        "(p - y) / (p (1 - p)), unbounded; eps bounds it by 1 / eps. Libraries differ: torch "
        "clamps the logarithm at -100, Keras the probability at 1e-7 with gradient 0 beyond.",
        data="As binary_cross_entropy_with_logits.",
    ),
    example=Example(
        {"probabilities": [[0.9, 0.2], [0.6, 0.5]], "targets": [[1, 0], [0, 1]]}, {"eps": 1e-7}
    ),
)
def binary_cross_entropy(
    probabilities: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Predicted probability of a positive.", gradient=True, low=0, high=1),
    ],
    targets: BinaryTargets,
    *,
    params: BinaryCrossEntropyParams,
) -> Float[Tensor, "rows *rest"]:
    """Cross-entropy of a yes-or-no answer given as a probability, one value per element.

    At eps = 0 it is +inf, with an infinite gradient, where the answer was sure and not right.
    """
    eps = params.eps
    moved = probabilities + (probabilities.clamp(eps, 1.0 - eps) - probabilities).detach()
    # Masked before the logarithm: the gradient of 0 * log 0 is NaN even where it is not used.
    positive = targets * torch.log(moved.masked_fill(targets == 0, 1.0))
    negative = (1.0 - targets) * torch.log1p(-moved.masked_fill(targets == 1, 0.0))
    return -(positive + negative)
