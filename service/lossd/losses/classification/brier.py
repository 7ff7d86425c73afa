"""Brier score: squared error of predicted probabilities."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Labels, Logits, Probabilities, TargetProbabilities
from lossd.losses._ops import one_hot
from lossd.losses._spec import Card, Example, LossParams


class BrierParams(LossParams):
    """Parameters of `brier`."""

    scale_by_half: bool = Field(
        False, description="Halve the score: in [0, 1], and the binary score for two classes."
    )
    unnormalized_targets: bool = Field(
        False, description="Accept probabilities that do not sum to 1."
    )


@loss(
    formula=r"\sum_k (p_k - t_k)^2",
    source="Brier 1950, Monthly Weather Review 78, 1-3, eq. 2",
    units="squared probability",
    exactly_one_of=(("logits", "probabilities"), ("labels", "target_probabilities")),
    card=Card(
        characteristics="Bounded by 2 (by 1 halved); a proper scoring rule; not convex in logits.",
        use="To judge or train calibrated probabilities; gentler with label noise than logs.",
        stability="No logarithm. The gradient of the logits vanishes where a wrong item is sure.",
        data="Any single-label data; robust to some label noise.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def brier(
    logits: Logits | None = None,
    probabilities: Probabilities | None = None,
    labels: Labels | None = None,
    target_probabilities: TargetProbabilities | None = None,
    *,
    params: BrierParams,
) -> Float[Tensor, "rows *spatial"]:
    """Sum over the classes of the squared difference of predicted and target probability.

    Returns one value per item, in [0, 2]; in [0, 1] with `scale_by_half`.
    """
    if logits is not None:
        predicted = torch.softmax(logits, dim=1)
    else:
        assert probabilities is not None
        predicted = probabilities
    target = target_probabilities
    if target is None:
        assert labels is not None
        target = one_hot(labels, predicted)
    return (predicted - target).square().sum(1) * (0.5 if params.scale_by_half else 1.0)
