"""Depth loss: squared difference of logarithms, an error of scale being forgiven in part."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import power
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.regression._lengths import in_rows

_LEAST = 2.0**-100  # half precision and float32 hold it, and it is no depth


class ScaleInvariantLogParams(LossParams):
    """Parameters of `scale_invariant_log`."""

    invariance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="0: every error counts; 1: a common factor costs nothing; with root 0.85 is "
        "usual.",
    )
    root: bool = Field(False, description="Whether to answer the square root.")


def weight_of_row(
    params: ScaleInvariantLogParams, target: Float[Tensor, "rows *rest"]
) -> Float[Tensor, "rows"]:
    """1 where any element of a row has a depth, else 0."""
    return (in_rows(target) > 0).any(1).double()


@loss(
    formula=r"\frac{1}{n} \sum_i d_i^2 - \frac{\lambda}{n^2} \left(\sum_i d_i\right)^2,\quad "
    r"d_i = \log x_i - \log y_i",
    source="Eigen, Puhrsch and Fergus 2014, arXiv:1406.2283, eq. 4; root: Lee et al. 2019, "
    "arXiv:1907.10326, eq. 4",
    units="squared nats; nats with root",
    weights=weight_of_row,
    topics=("images",),
    card=Card(
        characteristics="The variance of log ratios plus 1 - invariance times their squared mean: "
        "relations within an image count more than its overall scale.",
        use="Depth from one image.",
        stability="Written as variance and mean, so that nothing cancels. With root the gradient "
        "does not shrink with the error; at error 0 it is 0.",
        data="Positive depths; a target of 0 is a pixel without one and does not count.",
    ),
    example=Example(
        {"prediction": [[2.5, 4.0, 1.0], [1.0, 8.0, 3.0]], "target": [[3.0, 5.0, 0], [2.0, 6.0, 3]]}
    ),
)
def scale_invariant_log(
    prediction: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Predicted depth, > 0.", gradient=True, low=_LEAST)
    ],
    target: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="True depth; 0 where there is none.", low=0)
    ],
    *,
    params: ScaleInvariantLogParams,
) -> Float[Tensor, "rows"]:
    """Mean squared log ratio of a row, less invariance times the squared mean: one value per row.

    A row without any depth is 0 and does not count.
    """
    x, y = in_rows(prediction), in_rows(target)
    valid = y > 0
    log_ratio = (torch.log(x) - torch.log(y.masked_fill(~valid, 1.0))).masked_fill(~valid, 0.0)
    count = valid.sum(1, keepdim=True).clamp(min=1)
    mean = log_ratio.sum(1, keepdim=True) / count
    spread = (log_ratio - mean).masked_fill(~valid, 0.0).square().sum(1) / count.squeeze(1)
    value = spread + (1.0 - params.invariance) * mean.squeeze(1).square()
    return power(value, 0.5) if params.root else value
