"""Quantile regression of returns: pairs of predicted quantiles and target samples."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class QuantileHuberParams(LossParams):
    """Parameters of `quantile_huber`."""

    kappa: float = Field(
        1.0, ge=0, description="Where the loss turns linear; 0 is plain quantile regression."
    )


@loss(
    formula=r"\sum_i \frac1m \sum_j \left|\tau_i - [y_j < \theta_i]\right| "
    r"\frac{L_\kappa(y_j - \theta_i)}{\kappa}",
    source="Dabney et al. 2017, arXiv:1710.10044, eq. 9 and 10; fractions as inputs: 2018, "
    "arXiv:1806.06923, eq. 3",
    units="unit of the return",
    matrices=(("quantiles", "samples"),),
    card=Card(
        characteristics="Each quantile is pulled up and down by its fraction; their order is free.",
        use="Distributional reinforcement learning (QR-DQN, IQN) and sampled targets anywhere.",
        stability="Bounded slope. The sum over quantiles grows with their number.",
        data="Samples or quantiles of the target; it gets no gradient.",
    ),
    example=Example({"quantiles": [[-0.5, 0.2, 1.0]], "targets": [[0.1, 0.9]]}),
)
def quantile_huber(
    quantiles: Annotated[
        Float[Tensor, "rows quantiles"], Arg(doc="Predicted quantiles.", gradient=True)
    ],
    targets: Annotated[Float[Tensor, "rows samples"], Arg(doc="Samples of the target.")],
    fractions: Annotated[
        Float[Tensor, "rows quantiles"],
        Arg(doc="Fraction of each quantile; (2 i - 1) / (2 n) if absent.", low=0, high=1),
    ]
    | None = None,
    *,
    params: QuantileHuberParams,
) -> Float[Tensor, "rows"]:
    """Quantile loss, rounded off near 0, of all pairs: a mean over samples, a sum over quantiles.

    Returns one value per row, in units of the return, >= 0; 0 without samples.
    """
    count = quantiles.shape[1]
    if fractions is None:
        number = torch.arange(count, device=quantiles.device, dtype=quantiles.dtype)
        fractions = ((2.0 * number + 1.0) / (2.0 * max(1, count))).expand_as(quantiles)
    error = targets.unsqueeze(1) - quantiles.unsqueeze(2)
    weight = (fractions.unsqueeze(2) - (error < 0).to(error.dtype)).abs()
    size = error.abs()
    if params.kappa:
        inside = error.square() * (0.5 / params.kappa)
        size = torch.where(size <= params.kappa, inside, size - 0.5 * params.kappa)
    return (weight * size).sum((1, 2)) / max(1, targets.shape[1])
