"""Decorrelation: units of a layer that do not say the same (DeCov)."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class DecorrelationParams(LossParams):
    """Parameters of `decorrelation`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")


@loss(
    formula=r"\tfrac{\lambda}{2} \left(\|C\|_F^2 - \|\mathrm{diag}\, C\|_2^2\right),"
    r"\quad C = \frac1N \sum_i (a_i - \bar a)(a_i - \bar a)^\top",
    source="Cogswell et al. 2016 (DeCov), arXiv:1511.06068, eq. 2",
    units="fourth power of the activations' unit",
    coupling="whole",
    reduction="sum",
    matrices=(("features", "features"),),
    card=Card(
        characteristics="0 where all covariances between different units are 0; variances are "
        "left alone.",
        use="Against overfitting, at the last hidden layer.",
        stability="In float64; the squares off the diagonal are summed, not taken as a difference.",
        data="A batch of activations; few rows make chance covariances.",
    ),
    example=Example({"activations": [[0.5, 0.0, 1.0], [2.0, 0.25, 0.0], [1.0, 0.5, 0.5]]}),
)
def decorrelation(
    activations: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Activations of a layer.", gradient=True)
    ],
    *,
    params: DecorrelationParams,
) -> Float[Tensor, ""]:
    """Half of lambda times the squared covariances of different units over the batch."""
    count = max(1, activations.shape[0])
    wide = activations.double()
    centred = wide - wide.sum(0, keepdim=True) / count
    covariance = centred.T @ centred / count
    own = torch.eye(len(covariance), dtype=torch.bool, device=covariance.device)
    return 0.5 * params.coefficient * covariance.masked_fill(own, 0.0).square().sum()
