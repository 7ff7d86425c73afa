"""Squared difference of logarithms of one plus both sides."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams

_NEAR = 0.5  # relative difference below which its own logarithm keeps all digits


class MsleParams(LossParams):
    """`msle` has no parameters."""


@loss(
    formula=r"(\log(1 + x) - \log(1 + y))^2",
    source="scikit-learn user guide, mean squared logarithmic error",
    units="squared nats",
    topics=("counts",),
    card=Card(
        characteristics="Relative for large values, absolute for small ones; too low is dearer "
        "than too high.",
        use="Counts, prices, anything that grows by factors, where the answer is a value and not "
        "its logarithm.",
        stability="Near a prediction of -1 the gradient grows without bound; at -1 the value is "
        "+inf, without a gradient, unless it is met. Small differences keep all digits.",
        data="Targets above -1, usually >= 0, over several orders of magnitude.",
    ),
    example=Example({"prediction": [[2.5, 40.0], [1.0, 0.0]], "target": [[3.0, 50.0], [1.0, 2.0]]}),
)
def msle(
    prediction: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Predicted values.", gradient=True, low=-1)
    ],
    target: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="True values, in the unit of the prediction.", gradient=True, low=-1),
    ],
    *,
    params: MsleParams,
) -> Float[Tensor, "rows *rest"]:
    """Square of the difference of log(1 + x) and log(1 + y), one value per element."""
    end = (prediction == -1) | (target == -1)
    x, y = prediction.masked_fill(end, 0.0), target.masked_fill(end, 0.0)
    relative = (x - y) / (1.0 + y)
    near = relative.abs() < _NEAR
    difference = torch.where(
        near,
        torch.log1p(relative.masked_fill(~near, 0.0)),
        torch.log1p(x) - torch.log1p(y),
    )
    return difference.square().masked_fill(end & (prediction != target), torch.inf)
