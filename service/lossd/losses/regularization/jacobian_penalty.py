"""Jacobian penalty: outputs that change little where inputs do."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class JacobianPenaltyParams(LossParams):
    """Parameters of `jacobian_penalty`: none."""


@loss(
    formula=r"\tfrac12 \|J(x)\|_F^2",
    source="Hoffman, Roberts and Yaida 2019, arXiv:1908.02729, eq. 4; Rifai et al. 2011 "
    "(contractive autoencoders), ICML",
    units="squared, of output per input",
    card=Card(
        characteristics="0 only for a constant function; smooth.",
        use="Robustness to noise, contractive autoencoders.",
        stability="The client computes the Jacobian, or its products with random unit vectors, "
        "and backpropagates what comes back through it. Summed in float64.",
        data="Jacobians, one per example, or projections of them.",
    ),
    example=Example({"jacobian": [[[0.5, -1.0], [0.25, 2.0]], [[1.0, 0.0], [0.5, 0.5]]]}),
)
def jacobian_penalty(
    jacobian: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Derivatives of the outputs by the inputs, for each row.", gradient=True),
    ],
    *,
    params: JacobianPenaltyParams,
) -> Float[Tensor, "rows"]:
    """Half of the sum of squared derivatives, one value per row, >= 0."""
    flat = jacobian.unsqueeze(1).flatten(1).square()
    return 0.5 * flat.sum(1, dtype=torch.float64).to(jacobian.dtype)
