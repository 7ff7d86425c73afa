"""Uniformity: how far embeddings are from filling the sphere evenly."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._pairs import Embeddings, distances, log_sum_exp
from lossd.losses._spec import Card, Example, LossParams


class UniformityParams(LossParams):
    """Parameters of `uniformity`."""

    t: float = Field(2.0, gt=0, le=1e6, description="What squared distances are multiplied by.")


@loss(
    formula=r"\log \frac{1}{n (n - 1)} \sum_{i \neq j} e^{-t \lVert x_i - x_j \rVert^2}",
    source="Wang and Isola 2020, arXiv:2005.10242, eq. 5",
    units="nats",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="The other half of what contrastive losses do: everyone apart. It is 0 "
        "where all is one point, and falls below as embeddings spread.",
        use="With alignment, in place of info_nce, or to watch one.",
        stability="Log-sum-exp. Equal rows get no gradient from each other.",
        data="Rows of one view. With fewer than two the value is 0.",
    ),
    example=Example({"embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]}),
)
def uniformity(embeddings: Embeddings, *, params: UniformityParams) -> Float[Tensor, ""]:
    """Log of the mean Gaussian potential of every two rows' directions.

    Returns one value for the batch, in nats, <= 0.
    """
    x = direction(embeddings)
    rows = len(x)
    near = -params.t * distances(x, x).square()
    if rows < 2:
        return near.sum() * 0.0
    others = ~torch.eye(rows, dtype=torch.bool, device=x.device)
    total = log_sum_exp(near.view(1, -1), others.view(1, -1))[0]
    return total - math.log(rows * (rows - 1))
