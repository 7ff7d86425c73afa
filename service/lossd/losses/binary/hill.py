"""Hill loss: multilabel, for labels of which many are missing."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams


class HillParams(LossParams):
    """Parameters of `hill`."""

    bound: float = Field(
        1.5, ge=1, le=100, description="lambda: at a likely negative the pull turns down."
    )
    margin: float = Field(1.0, ge=0, description="Of positives, in logit units.")
    gamma: float = Field(2.0, ge=0, le=16, description="Focus on hard positives, unitless.")


@loss(
    formula=r"-y\,(1 - p_m)^\gamma \log p_m + (1 - y)(\lambda - p)\, p^2,\quad p = \sigma(z),"
    r"\quad p_m = \sigma(z - m)",
    source="Zhang et al. 2021, arXiv:2112.07368, the Hill loss",
    units="nats for positives, probability for negatives",
    card=Card(
        characteristics="A negative that the model is sure is none hardly pulls: it may be a "
        "missing label. Positives are focal with a margin. Not convex.",
        use="Multilabel data where only some labels of a row were noted.",
        stability="Bounded for negatives; positives' powers and logarithms are of the logit.",
        data="Single positive labels or partial ones, all others given as 0.",
    ),
    example=Example({"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1, 0], [0, 1]]}),
)
def hill(
    logits: Scores, targets: BinaryTargets, *, params: HillParams
) -> Float[Tensor, "rows *rest"]:
    """Focal loss with a margin for positives, a hill-shaped squared error for the rest.

    A target between 0 and 1 gives the expectation over both.

    Returns one value per element, >= 0.
    """
    behind = logits - params.margin
    positive = torch.exp(-params.gamma * softplus(behind)) * softplus(-behind)
    p = torch.sigmoid(logits)
    # lambda - p is (lambda - 1) + (1 - p), which keeps its digits where p rounds to 1.
    negative = (params.bound - 1.0 + torch.sigmoid(-logits)) * p.square()
    return targets * positive + (1.0 - targets) * negative
