"""Root of the mean squared error of the whole call."""

import math

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regression._lengths import length


class RmseParams(LossParams):
    """`rmse` has no parameters."""


@loss(
    formula=r"\sqrt{\frac{1}{n} \sum_i (x_i - y_i)^2}",
    source="scikit-learn user guide, root mean squared error",
    units="units of the target",
    coupling="whole",
    card=Card(
        characteristics="The square root of mse: the same minimiser, in units of the target. One "
        "value for the call, for a mean of roots is not the root of the mean.",
        use="Reports; training where steps should not shrink with the error.",
        stability="The gradient has length 1 / sqrt(n) however small the error, so it does not "
        "settle; at error 0 it is 0. Differences of any size neither overflow nor vanish.",
        data="Light tails: outliers dominate, as with mse. Parts of a batch do not add up.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def rmse(prediction: Prediction, target: Target, *, params: RmseParams) -> Float[Tensor, ""]:
    """Square root of the mean over all elements of the squared difference: one value.

    Shapes must be equal. The subgradient at error 0 is 0; of nothing the value is 0.
    """
    difference = (prediction - target).reshape(1, prediction.numel())
    return length(difference).squeeze(0) / math.sqrt(max(1, difference.shape[1]))
