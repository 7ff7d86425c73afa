"""Length of the difference over the length of the target."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regression._lengths import in_rows, length, ratio


class RelativeL2Params(LossParams):
    """Parameters of `relative_l2`."""

    squared: bool = Field(False, description="Whether to square the ratio.")


@loss(
    formula=r"\frac{\lVert x - y \rVert_2}{\lVert y \rVert_2}",
    source="Li et al. 2021, Fourier Neural Operator, arXiv:2010.08895, section 5",
    units="lengths of the target",
    card=Card(
        characteristics="One number per row, whatever its scale and size; 1 is what a prediction "
        "of all zeros costs.",
        use="Fields, spectra, solutions of differential equations, of very different sizes.",
        stability="Norms neither overflow nor vanish. A target of all zeros costs +inf, without a "
        "gradient, unless it is met. Not squared, the gradient does not shrink with the error.",
        data="Rows whose whole matters more than their elements; no rows of zeros.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def relative_l2(
    prediction: Prediction, target: Target, *, params: RelativeL2Params
) -> Float[Tensor, "rows"]:
    """Euclidean length of each row's difference over that of its target: one value per row.

    0 / 0 is 0. The subgradient at equality is 0.
    """
    value = ratio(length(in_rows(prediction - target)), length(in_rows(target)))
    return value.square() if params.squared else value
