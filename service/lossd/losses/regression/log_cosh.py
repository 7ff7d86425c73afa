"""Log-cosh loss: half the squared error near the target, absolute error far from it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class LogCoshParams(LossParams):
    """`log_cosh` has no parameters."""


@loss(
    formula=r"\log \cosh d,\quad d = x - y",
    source="Chen et al. 2019, Log Hyperbolic Cosine Loss Improves Variational Auto-Encoder",
    units="units of the target, which must be near 1",
    card=Card(
        characteristics="Convex and smooth everywhere: d^2 / 2 near 0, |d| - log 2 far away.",
        use="As huber, where second derivatives are wanted; boosted trees.",
        stability="The gradient is tanh d, within [-1, 1]. Small differences keep all digits, "
        "large ones do not overflow.",
        data="Errors of a size near 1, some outliers; scale the target to that.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
    topics=("outliers",),
)
def log_cosh(
    prediction: Prediction, target: Target, *, params: LogCoshParams
) -> Float[Tensor, "rows *rest"]:
    """Logarithm of the hyperbolic cosine of the difference, one value per element.

    Shapes must be equal: nothing is broadcast.
    """
    size = (prediction - target).abs()
    # cosh d - 1 = 2 sinh^2(d / 2): near 0 no digits cancel, as they do in the other form.
    near = torch.log1p(2.0 * torch.sinh(0.5 * size.clamp(max=1.0)).square())
    far = size + (torch.log1p(torch.exp(-2.0 * size)) - math.log(2.0))
    return torch.where(size <= 1.0, near, far)
