"""What likelihoods with a location and a scale share: their inputs, and the scaled difference."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

POSITIVE = 2.0**-100  # the least number that counts as > 0; every dtype's numbers are 0 or above
HALF_LOG_2_PI = 0.9189385332046727

Location = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Location of the predicted distribution, in the unit of the target.", gradient=True),
]
ScaleOfItem = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Scale of the predicted distribution, > 0.", gradient=True, low=POSITIVE),
]
LogScaleOfItem = Annotated[
    Float[Tensor, "rows *rest"], Arg(doc="Natural logarithm of the scale.", gradient=True)
]
Counts = Annotated[
    Float[Tensor, "rows *rest"], Arg(doc="Observed counts, >= 0; fractions are allowed.", low=0)
]
Rate = Annotated[
    Float[Tensor, "rows *rest"], Arg(doc="Predicted mean, >= 0.", gradient=True, low=0)
]
LogRate = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Natural logarithm of the predicted mean.", gradient=True),
]


def log_of_scale(scale: Tensor | None, log_scale: Tensor | None) -> Tensor:
    """The logarithm of whichever is given."""
    if log_scale is not None:
        return log_scale
    assert scale is not None
    return scale.log()


def scaled(difference: Tensor, log_scale: Tensor) -> Tensor:
    """difference / e^log_scale; 0 where the difference is, however small the scale."""
    none = difference == 0
    # In two steps, each of which a float can hold where the result fits one.
    root = torch.exp(-0.5 * log_scale.masked_fill(none, 0.0))
    return difference * root * root
