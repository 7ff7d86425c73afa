"""Negative log-likelihood of a von Mises distribution: angles."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class VonMisesNllParams(LossParams):
    """`von_mises_nll` has no parameters."""


@loss(
    formula=r"\log(2 \pi I_0(\kappa)) - \kappa \cos(x - y)",
    source="von Mises 1918, Physikalische Zeitschrift 19, 490-500; Bishop 2006, Pattern "
    "Recognition and Machine Learning, eq. 2.179",
    units="nats",
    card=Card(
        characteristics="A normal distribution on the circle: 359 degrees are near 1 degree. "
        "Concentration 0 is uniform, a large one normal with variance 1 / concentration.",
        use="Headings, phases, hours, dihedral angles: regression with uncertainty on a circle.",
        stability="Written with the scaled Bessel function and sin^2(d / 2), so that any "
        "concentration is fine. The gradient of the location is 0 at the opposite angle too.",
        data="Angles in radians; one direction per item.",
    ),
    example=Example(
        {"location": [[3.0, 0.5]], "target": [[-3.0, 0.25]], "concentration": [[2.0, 10.0]]}
    ),
)
def von_mises_nll(
    location: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Predicted direction, in radians.", gradient=True)
    ],
    target: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="True angle, in radians.", gradient=True)
    ],
    concentration: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="How sure the prediction is, >= 0; unitless.", gradient=True, low=0),
    ],
    *,
    params: VonMisesNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the density at the target, one value per element."""
    # log I_0 - concentration: scaled where it would overflow, not scaled at 0, where torch's scaled
    # function has no derivative.
    small = concentration < 1.0
    near = concentration.masked_fill(~small, 0.0)
    far: Tensor = torch.special.i0e(concentration.masked_fill(small, 1.0)).log()
    log_bessel = torch.where(small, torch.special.i0(near).log() - near, far)
    away = torch.sin(0.5 * (location - target)).square()
    return math.log(2.0 * math.pi) + log_bessel + 2.0 * concentration * away
