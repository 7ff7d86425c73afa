"""Continuous ranked probability score of a normal distribution."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._scales import Location

_FAR = 40.0  # scales from where on the density is 0 and the distribution 0 or 1, in float64 too


class CrpsGaussianParams(LossParams):
    """`crps_gaussian` has no parameters."""


@loss(
    formula=r"\sigma \left(z (2 \Phi(z) - 1) + 2 \varphi(z) - \frac{1}{\sqrt{\pi}}\right),\quad "
    r"z = \frac{y - x}{\sigma}",
    source="Gneiting and Raftery 2007, JASA 102, 359-378, eq. 21",
    units="units of the target",
    topics=("uncertainty",),
    card=Card(
        characteristics="A proper score in the unit of the target; l1 as the scale goes to 0. "
        "Outliers pull as in l1, where gaussian_nll squares them.",
        use="Probabilistic forecasts, as a training loss or as a report.",
        stability="Bounded gradients: the location's is within [-1, 1]. No scale is too small; a "
        "scale of 0 is a point forecast.",
        data="Errors near normal; a few outliers do no harm.",
    ),
    example=Example(
        {
            "location": [[2.5, 0.0], [1.0, -1.0]],
            "target": [[3.0, -0.5], [1.0, 2.0]],
            "scale": [[1.0, 0.5], [2.0, 1.0]],
        }
    ),
)
def crps_gaussian(
    location: Location,
    target: Target,
    scale: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Standard deviation of the prediction, >= 0.", gradient=True, low=0),
    ],
    *,
    params: CrpsGaussianParams,
) -> Float[Tensor, "rows *rest"]:
    """Squared distance of the predicted distribution from the observed step, over all thresholds.

    One value per element, >= 0. With a scale of 0 the subgradient at equality is 0.
    """
    difference = target - location
    far = difference.abs() >= _FAR * scale
    near_scale = scale.masked_fill(far, 1.0)
    z = difference.masked_fill(far, 0.0) / near_scale
    density = torch.exp(-0.5 * z.square()) * math.sqrt(2.0 / math.pi)
    near = near_scale * (z * torch.erf(z * math.sqrt(0.5)) + density - 1.0 / math.sqrt(math.pi))
    return torch.where(far, difference.abs() - scale / math.sqrt(math.pi), near)
