"""Elastic weight consolidation: keeps what earlier tasks need."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.regularization._weights import Start, total


class EwcParams(LossParams):
    """Parameters of `ewc`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, how much old tasks count.")


def proximal(
    weights: tuple[Tensor, ...],
    start: tuple[Tensor, ...],
    fisher: tuple[Tensor, ...],
    step: float,
    params: EwcParams,
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight moved to its start, by a share of f over 1 + f, f being step lambda F."""
    found = []
    for each, begun, strength in zip(weights, start, fisher, strict=True):
        pull = (step * params.coefficient * strength.double()).clamp(max=1e300)
        found.append(each + (pull / (1.0 + pull)).to(each.dtype) * (begun - each))
    return {"weights": tuple(found)}


@loss(
    formula=r"\tfrac{\lambda}{2} \sum_i F_i (w_i - w_i^0)^2",
    source="Kirkpatrick et al. 2017, arXiv:1612.00796, eq. 3",
    units="lambda times nats",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Convex, smooth: `l2_sp` where each weight has a strength of its own.",
        use="Learning tasks one after another without forgetting.",
        stability="Squared in the weights' precision, summed in float64.",
        data="Weights, what they were after the old task, and the diagonal of its Fisher "
        "information.",
    ),
    example=Example(
        {
            "weights": {"a": [0.5, -1.0], "b": 2.0},
            "start": {"a": [0.25, -1.0], "b": 1.5},
            "fisher": {"a": [1.0, 2.0], "b": 0.5},
        }
    ),
)
def ewc(
    weights: Weights,
    start: Start,
    fisher: Annotated[
        tuple[Float[Tensor, "..."], ...],
        Arg(doc="Diagonal of the Fisher information, by the same names.", low=0, like="weights"),
    ],
    *,
    params: EwcParams,
) -> Float[Tensor, ""]:
    """Half of lambda times the squared distance from the start, weighed by Fisher information."""
    trios = zip(weights, start, fisher, strict=True)
    parts = [
        (strength * (each - begun).square()).sum(dtype=torch.float64)
        for each, begun, strength in trios
    ]
    return 0.5 * params.coefficient * total(parts)
