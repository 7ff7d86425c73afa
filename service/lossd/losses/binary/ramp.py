"""Ramp loss: the hinge cut off, so that no item costs more than any other gross error."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._spec import Card, Example, LossParams


class RampParams(LossParams):
    """Parameters of `ramp`."""

    floor: float = Field(
        -1.0, ge=-1e6, lt=1, description="Margin y s below which nothing more is paid."
    )


@loss(
    formula=r"\min\left(1 - f,\; \max(0,\, 1 - y s)\right)",
    source="Collobert et al. 2006, ICML, Trading convexity for scalability",
    units="score units",
    card=Card(
        characteristics="Bounded by 1 - floor, not convex: items far on the wrong side are given "
        "up, and are no support vectors.",
        use="Support vector machines on data with wrong labels.",
        stability="Exact for any finite score. Start from a hinge's solution: from far away there "
        "is no gradient.",
        data="Gross label errors among otherwise separable classes.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, 1, -1]}),
)
def ramp(scores: Scores, labels: SignLabels, *, params: RampParams) -> Float[Tensor, "rows *rest"]:
    """Hinge with margin 1, at most 1 - floor; one value per element, >= 0.

    The subgradient at both kinks is 0.
    """
    margin = labels * scores
    value = torch.where(margin < 1.0, 1.0 - margin, 0.0)
    return torch.where(margin > params.floor, value, 1.0 - params.floor)
