"""Tukey's biweight: a square that flattens, and is constant from a cut-off on."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class TukeyBiweightParams(LossParams):
    """Parameters of `tukey_biweight`."""

    cutoff: float = Field(
        4.685,
        ge=1e-6,
        le=1e6,
        description="From where on a difference has no pull, in units of the target. The default "
        "is 95% efficient where errors are normal with variance 1.",
    )


@loss(
    formula=r"\frac{c^2}{6} \left(1 - \left(1 - \min(1, (d / c)^2)\right)^3\right),\quad d = x - y",
    source="Beaton and Tukey 1974, Technometrics 16, 147-185; as a training loss Belagiannis et "
    "al. 2015, arXiv:1505.06606, eq. 3",
    units="squared units of the target",
    card=Card(
        characteristics="d^2 / 2 near 0, constant beyond the cut-off, twice differentiable; not "
        "convex.",
        use="Robust regression (MM-estimators), pose: outliers are left out altogether.",
        stability="The gradient is exactly 0 beyond the cut-off: start near the solution. Divide "
        "by a robust scale first, such as the median absolute deviation.",
        data="Gross outliers among errors of a known scale.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def tukey_biweight(
    prediction: Prediction, target: Target, *, params: TukeyBiweightParams
) -> Float[Tensor, "rows *rest"]:
    """Biweight of the difference: one value per element, in [0, cutoff^2 / 6].

    The gradient at the cut-off is 0, as beyond it.
    """
    share = ((prediction - target) / params.cutoff).clamp(-1.0, 1.0).square()
    # 1 - (1 - s)^3, written so that a small s keeps its digits.
    return params.cutoff**2 / 6.0 * share * (3.0 - 3.0 * share + share.square())
