"""FLOPS penalty: sparse representations whose postings are evenly short."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class FlopsParams(LossParams):
    """Parameters of `flops`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")


@loss(
    formula=r"\lambda \sum_j \left(\frac1N \sum_i |a_{ij}|\right)^2",
    source="Paria et al. 2020, arXiv:2004.05665, eq. 4; Formal, Piwowarski and Clinchant 2021 "
    "(SPLADE), arXiv:2107.05720, eq. 4",
    units="squared units of the activations",
    coupling="whole",
    reduction="sum",
    card=Card(
        characteristics="An upper bound of the products that a search takes; terms that many "
        "texts use cost most, where an L1 costs all alike.",
        use="Learned sparse retrieval: one for queries, one for documents.",
        stability="In float64. The subgradient at 0 is 0.",
        data="Activations over a vocabulary of a batch of texts.",
    ),
    example=Example({"activations": [[0.5, 0.0, 1.0], [2.0, 0.25, 0.0]]}),
)
def flops(
    activations: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Activation of each term.", gradient=True)
    ],
    *,
    params: FlopsParams,
) -> Float[Tensor, ""]:
    """Lambda times the sum over terms of the squared mean of absolute activations."""
    mean = activations.abs().sum(0, dtype=torch.float64) / max(1, activations.shape[0])
    return params.coefficient * mean.square().sum()
