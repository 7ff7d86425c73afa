"""Hoyer regulariser: sparse at any scale of the weights."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._weights import total


class HoyerParams(LossParams):
    """Parameters of `hoyer`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    kind: Literal["square", "ratio"] = Field(
        "square", description="(sum |w|)^2 / sum w^2, or its root."
    )


@loss(
    formula=r"\lambda \sum_{\text{tensors}} \frac{(\sum |w|)^2}{\sum w^2}",
    source="Yang, Wen and Li 2020 (DeepHoyer), arXiv:1908.09979, eq. 2; Hoyer 2004, JMLR 5, "
    "1457-1469",
    units="lambda times a number of weights",
    coupling="whole",
    reduction="sum",
    card=Card(
        characteristics="Between 1 and the number of weights: a smooth count of those that are "
        "not 0. It does not change with the scale.",
        use="Pruning; large weights are not shrunk, small ones are driven to 0.",
        stability="In float64, over the largest weight first. A tensor of zeros counts 0, "
        "without gradient.",
        data="Any weights; each tensor for itself.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def hoyer(weights: Weights, *, params: HoyerParams) -> Float[Tensor, ""]:
    """Lambda times the squared ratio of the L1 and L2 norms of each tensor, or the ratio."""
    return params.coefficient * total([_count(each.double().flatten(), params) for each in weights])


def _count(weight: Tensor, params: HoyerParams) -> Tensor:
    largest = weight.detach().abs().amax() if weight.numel() else weight.sum()
    if largest == 0:
        return weight.sum() * 0.0
    weight = weight / largest
    count = weight.abs().sum().square() / weight.square().sum()
    return count if params.kind == "square" else count.sqrt()
