"""Spectral norm penalty: bounds how much a layer can stretch."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._weights import as_matrix, total


class SpectralNormParams(LossParams):
    """Parameters of `spectral_norm`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    squared: bool = Field(False, description="Whether half the square counts, as in the paper.")


@loss(
    formula=r"\lambda\, \sigma_1(W) \text{ or } \tfrac{\lambda}{2} \sigma_1(W)^2",
    source="Yoshida and Miyato 2017, arXiv:1705.10941, eq. 3",
    units="lambda times weight units, or their square",
    coupling="whole",
    reduction="sum",
    card=Card(
        characteristics="Convex; moves the largest singular value of each weight only.",
        use="Generalisation, robustness, Lipschitz bounds.",
        stability="By a singular value decomposition in float64, not by power iterations. Of "
        "equal largest singular values the first is moved; a matrix of zeros has no gradient.",
        data="Matrices; a tensor is one of its axis 0 by the rest.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def spectral_norm(weights: Weights, *, params: SpectralNormParams) -> Float[Tensor, ""]:
    """Lambda times the largest singular value of each weight, as a matrix, or half its square."""
    return params.coefficient * total(
        [_largest(as_matrix(each.double()), params.squared) for each in weights]
    )


def _largest(matrix: Tensor, squared: bool) -> Tensor:
    """The largest singular value: linear in the matrix for constant singular vectors."""
    left, values, right = torch.linalg.svd(matrix.detach(), full_matrices=False)
    kept = (values[:1] > 0).to(torch.float64)
    value: Tensor = ((left[:, :1] * kept) @ right[:1] * matrix).sum()
    return 0.5 * value.square() if squared else value
