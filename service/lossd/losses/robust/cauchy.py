"""Cauchy loss: the negative log-likelihood of a Cauchy distribution, less a constant."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import log1p_square
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.robust._residuals import Scale


class CauchyParams(LossParams):
    """Parameters of `cauchy`."""

    scale: Scale = 1.0


@loss(
    formula=r"\log\left(1 + \frac{1}{2} \left(\frac{x - y}{c}\right)^2\right)",
    source="Black and Anandan 1996, CVIU 63, 75-104 (Lorentzian); Barron 2019, arXiv:1701.03077, "
    "eq. 4",
    units="nats",
    card=Card(
        characteristics="Grows as the logarithm of the difference; not convex: far rows keep a "
        "small pull.",
        use="Heavy-tailed errors. geman_mcclure and welsch let go of outliers altogether.",
        stability="The gradient is largest at sqrt(2) scales, then falls as 2 / d. No difference "
        "overflows.",
        data="Gross outliers, no bound on them; scale near the size of an ordinary error.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def cauchy(
    prediction: Prediction, target: Target, *, params: CauchyParams
) -> Float[Tensor, "rows *rest"]:
    """Logarithm of one plus half the squared difference, in scales: one value per element.

    `general_robust` with alpha 0. About d^2 / 2 near 0.
    """
    z = (prediction - target).abs() / params.scale
    return log1p_square(z, z.new_tensor(2.0))
