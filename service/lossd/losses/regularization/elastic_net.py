"""Elastic net: L1 and L2 penalty together."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._ops import soft_threshold
from lossd.losses._spec import Card, Example, LossParams


class ElasticNetParams(LossParams):
    """Parameters of `elastic_net`."""

    l1: float = Field(1.0, ge=0, description="Coefficient of the sum of absolute weights.")
    l2: float = Field(1.0, ge=0, description="Coefficient of the sum of squared weights.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: ElasticNetParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight moved to 0 by step times l1, and not beyond; then over 1 + 2 step l2."""
    by, over = step * params.l1, 1.0 + 2.0 * step * params.l2
    return {"weights": tuple(soft_threshold(each, by) / over for each in weights)}


@loss(
    formula=r"\lambda_1 \sum |w| + \lambda_2 \sum w^2",
    source="Zou and Hastie 2005, Journal of the Royal Statistical Society B 67, 301-320, eq. 3",
    units="mixed weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Strongly convex for l2 > 0; sparse; keeps correlated weights together.",
        use="Sparse linear models whose inputs are correlated.",
        stability="Summed in float64. The subgradient of |w| at 0 is 0.",
        data="Any weights. scikit-learn's a, r are l1 = a r, l2 = a (1 - r) / 2.",
    ),
    example=Example({"weights": {"layer": [[0.5, -1.0]], "head": [2.0]}}, {"l1": 0.01, "l2": 0.1}),
    topics=("sparsity",),
)
def elastic_net(weights: Weights, *, params: ElasticNetParams) -> Float[Tensor, ""]:
    """Sum of absolute weights times l1, plus sum of squared weights times l2."""
    absolute = torch.stack([each.abs().sum(dtype=torch.float64) for each in weights]).sum()
    squared = torch.stack([each.square().sum(dtype=torch.float64) for each in weights]).sum()
    return params.l1 * absolute + params.l2 * squared
