"""One less the concordance correlation coefficient of the whole call."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regression._lengths import ratio


class ConcordanceCorrelationParams(LossParams):
    """`concordance_correlation` has no parameters."""


@loss(
    formula=r"\frac{\frac{1}{n} \sum_i (x_i - y_i)^2}{s_x^2 + s_y^2 + (\bar x - \bar y)^2} = 1 - "
    r"\frac{2 s_{xy}}{s_x^2 + s_y^2 + (\bar x - \bar y)^2}",
    source="Lin 1989, Biometrics 45, 255-268, eq. 2.2; variances over n",
    units="none, in [0, 2]",
    coupling="whole",
    card=Card(
        characteristics="0 only where prediction and target agree, 1 where they have nothing to do "
        "with each other: correlation that also minds scale and offset.",
        use="Affect and quality ratings that are judged by it; agreement of two measurements.",
        stability="Written as a mean square over a sum of squares: nothing cancels. Constant and "
        "equal sides are 0, constant and different ones 1 without much of a gradient.",
        data="Batches large enough for a variance. Parts of a batch do not add up.",
    ),
    example=Example({"prediction": [2.5, 0.0, 1.0, -1.0], "target": [3.0, -0.5, 1.0, 2.0]}),
)
def concordance_correlation(
    prediction: Prediction, target: Target, *, params: ConcordanceCorrelationParams
) -> Float[Tensor, ""]:
    """Mean squared difference over what it would be without correlation: one value.

    Over all elements, whatever their shape. 0 / 0 and nothing at all are 0.
    """
    if not prediction.numel():
        return (prediction + target).sum()
    mean_x, mean_y = prediction.mean(), target.mean()
    spread = (prediction - mean_x).square().mean() + (target - mean_y).square().mean()
    return ratio((prediction - target).square().mean(), spread + (mean_x - mean_y).square())
