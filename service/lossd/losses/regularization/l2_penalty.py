"""L2 penalty: keeps weights small."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams


class L2PenaltyParams(LossParams):
    """Parameters of `l2_penalty`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    half: bool = Field(
        False, description="Halve it, so that the gradient is lambda w, as weight decay adds."
    )


def proximal(
    weights: tuple[Tensor, ...], step: float, params: L2PenaltyParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight over 1 + 2 step lambda; without the 2 with `half`."""
    by = 1.0 + (1.0 if params.half else 2.0) * step * params.coefficient
    return {"weights": tuple(each / by for each in weights)}


@loss(
    formula=r"\lambda \sum w^2",
    source="Hoerl and Kennard 1970, Technometrics 12, 55-67",
    units="lambda times squared weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Strongly convex, smooth; gradient 2 lambda w, or lambda w with half.",
        use="To keep weights small. Under adaptive optimisers it is not the same as weight decay.",
        stability="Squared in the weights' precision, summed in float64.",
        data="Any weights.",
    ),
    example=Example({"weights": {"layer": [[0.5, -1.0]], "head": [2.0]}}, {"coefficient": 0.01}),
)
def l2_penalty(weights: Weights, *, params: L2PenaltyParams) -> Float[Tensor, ""]:
    """Lambda times the sum of squared weights; half of that with `half`."""
    sums = [each.square().sum(dtype=torch.float64) for each in weights]
    return params.coefficient * (0.5 if params.half else 1.0) * torch.stack(sums).sum()
