"""Hinge loss: a score must be on the right side by a margin."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class HingeParams(LossParams):
    """Parameters of `hinge`."""

    margin: float = Field(1.0, ge=0, description="Distance wanted from 0, in score units.")


@loss(
    formula=r"\max(0,\; m - y s)",
    source="Cortes and Vapnik 1995, Machine Learning 20, 273-297",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; no gradient beyond the margin.",
        use="Support vector machines; cheap gradients on small devices: no exponential.",
        stability="Exact for any finite score. Scores are no probabilities.",
        data="Separable or nearly separable classes, clean labels.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def hinge(
    scores: Scores, labels: SignLabels, *, params: HingeParams
) -> Float[Tensor, "rows *rest"]:
    """How far the score is from being on its label's side by the margin, one value per element.

    The subgradient at the margin is 0. This is not torch's hinge_embedding_loss.
    """
    return positive_part(params.margin - labels * scores)
