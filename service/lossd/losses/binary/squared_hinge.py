"""Squared hinge loss: smooth at the margin, harder on large violations."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class SquaredHingeParams(LossParams):
    """Parameters of `squared_hinge`."""

    margin: float = Field(1.0, ge=0, description="Distance wanted from 0, in score units.")


@loss(
    formula=r"\max(0,\; m - y s)^2",
    source="Chang, Hsieh and Lin 2008, JMLR 9, 1369-1398, eq. 2",
    units="squared score units",
    card=Card(
        characteristics="Convex, once differentiable; large violations dominate.",
        use="Linear classifiers trained by methods that want a continuous gradient.",
        stability="Exact; violations above 1.8e19 overflow float32.",
        data="Nearly separable classes without gross label errors.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def squared_hinge(
    scores: Scores, labels: SignLabels, *, params: SquaredHingeParams
) -> Float[Tensor, "rows *rest"]:
    """Square of how far the score is from its label's side by the margin, one value per element.

    The gradient at the margin is 0.
    """
    return positive_part(params.margin - labels * scores).square()
