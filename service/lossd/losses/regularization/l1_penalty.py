"""L1 penalty: makes weights sparse."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._ops import soft_threshold
from lossd.losses._spec import Card, Example, LossParams


class L1PenaltyParams(LossParams):
    """Parameters of `l1_penalty`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: L1PenaltyParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight moved to 0 by step times lambda, and not beyond."""
    by = step * params.coefficient
    return {"weights": tuple(soft_threshold(each, by) for each in weights)}


@loss(
    formula=r"\lambda \sum |w|",
    source="Tibshirani 1996, Journal of the Royal Statistical Society B 58, 267-288",
    units="lambda times weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Convex, not smooth at 0; its proximal operator is the soft threshold.",
        use="To drive weights to exactly 0.",
        stability="Summed in float64. The subgradient at 0 is 0.",
        data="Any weights; those of one scale, since all are shrunk by the same amount.",
    ),
    example=Example({"weights": {"layer": [[0.5, -1.0]], "head": [2.0]}}, {"coefficient": 0.01}),
)
def l1_penalty(weights: Weights, *, params: L1PenaltyParams) -> Float[Tensor, ""]:
    """Lambda times the sum of absolute weights; the subgradient at 0 is 0."""
    sums = [each.abs().sum(dtype=torch.float64) for each in weights]
    return params.coefficient * torch.stack(sums).sum()
