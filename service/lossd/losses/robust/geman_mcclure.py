"""Geman-McClure loss: bounded; the pull of a far row falls as its cube."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.robust._residuals import Scale


class GemanMcclureParams(LossParams):
    """Parameters of `geman_mcclure`."""

    scale: Scale = 1.0


@loss(
    formula=r"\frac{2 z^2}{z^2 + 4},\quad z = \frac{x - y}{c}",
    source="Geman and McClure 1985, Bayesian image analysis; in this scale Barron 2019, "
    "arXiv:1701.03077, eq. 5",
    units="none, in [0, 2]",
    card=Card(
        characteristics="Bounded by 2, not convex; between cauchy, which never lets go, and "
        "welsch.",
        use="Pose graphs, registration, point clouds with false matches.",
        stability="The gradient is largest near one scale and falls as 1 / d^3. No difference "
        "overflows.",
        data="Gross outliers; scale near the size of an ordinary error.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def geman_mcclure(
    prediction: Prediction, target: Target, *, params: GemanMcclureParams
) -> Float[Tensor, "rows *rest"]:
    """Squared difference over itself plus 4, doubled, in scales: one value per element, in [0, 2].

    `general_robust` with alpha -2. About d^2 / 2 near 0.
    """
    z = (prediction - target) / params.scale
    far = z.abs() > 2.0
    near_square = z.masked_fill(far, 0.0).square()
    beyond = (2.0 / z.masked_fill(~far, 2.0)).square()  # 4 / z^2, which does not overflow
    return torch.where(far, 2.0 / (1.0 + beyond), 2.0 * near_square / (near_square + 4.0))
