"""Activity L1: few units of a layer active at once."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class ActivityL1Params(LossParams):
    """Parameters of `activity_l1`: none."""


@loss(
    formula=r"\sum_j |a_j|",
    source="Olshausen and Field 1996, Nature 381, 607-609; Glorot, Bordes and Bengio 2011, AISTATS",
    units="units of the activations",
    card=Card(
        characteristics="Convex; drives activations to exactly 0, each by the same force.",
        use="Sparse autoencoders and dictionaries, beside the reconstruction, with a small weight.",
        stability="Summed in float64. The subgradient at 0 is 0.",
        data="Activations of a layer, one row per example.",
    ),
    example=Example({"activations": [[0.5, -1.0, 0.0], [2.0, 0.25, 0.0]]}),
)
def activity_l1(
    activations: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Activations of a layer.", gradient=True)
    ],
    *,
    params: ActivityL1Params,
) -> Float[Tensor, "rows"]:
    """The sum of absolute activations of a row, one value per row, >= 0."""
    flat = activations.unsqueeze(1).flatten(1).abs()
    return flat.sum(1, dtype=torch.float64).to(activations.dtype)
