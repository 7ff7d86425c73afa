"""Nuclear norm: makes matrices of low rank."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._weights import as_matrix, total


class NuclearNormParams(LossParams):
    """Parameters of `nuclear_norm`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: NuclearNormParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each singular value moved to 0 by step times lambda, and not beyond."""
    by = step * params.coefficient
    return {"weights": tuple(_thresholded(each, by) for each in weights)}


def _thresholded(weight: Tensor, by: float) -> Tensor:
    left, values, right = torch.linalg.svd(as_matrix(weight.double()), full_matrices=False)
    moved: Tensor = (left * torch.relu(values - by)) @ right
    return moved.reshape(weight.shape).to(weight.dtype)


@loss(
    formula=r"\lambda \sum_i \sigma_i(W)",
    source="Fazel, Hindi and Boyd 2001, American Control Conference, 4734-4739",
    units="lambda times weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Convex; the L1 norm of singular values, which drives small ones to 0.",
        use="Low-rank weights, matrix completion.",
        stability="By a singular value decomposition in float64. Singular values that are 0, to "
        "rounding, have no gradient, so that of a rank-deficient matrix is its shortest "
        "subgradient.",
        data="Matrices; a tensor is one of its axis 0 by the rest.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def nuclear_norm(weights: Weights, *, params: NuclearNormParams) -> Float[Tensor, ""]:
    """Lambda times the sum of the singular values of each weight, as a matrix."""
    return params.coefficient * total([_nuclear(as_matrix(each.double())) for each in weights])


def _nuclear(matrix: Tensor) -> Tensor:
    """The sum of singular values: linear in the matrix for constant singular vectors."""
    left, values, right = torch.linalg.svd(matrix.detach(), full_matrices=False)
    least = values[:1] * max(matrix.shape) * torch.finfo(torch.float64).eps
    kept = (values > least).to(torch.float64)
    value: Tensor = (((left * kept) @ right) * matrix).sum()
    return value
