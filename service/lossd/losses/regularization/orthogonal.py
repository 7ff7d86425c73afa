"""Orthogonality penalty: the filters of a layer at right angles, of length 1."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._weights import as_matrix, total


class OrthogonalParams(LossParams):
    """Parameters of `orthogonal`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    kind: Literal["soft", "double_soft", "mutual_coherence", "spectral"] = Field(
        "soft",
        description="What of the Gram matrix less the identity counts: its squares, also those "
        "of the other side's, its largest element, or its spectral norm (SRIP).",
    )


@loss(
    formula=r"\lambda \|W W^\top - I\|_F^2",
    source="Bansal, Chen and Wang 2018, arXiv:1810.09102, eq. 3 to 7",
    units="lambda times squared weight units",
    coupling="whole",
    reduction="sum",
    card=Card(
        characteristics="0 for orthonormal rows; not convex. Rows are outputs: the columns of "
        "the paper's W.",
        use="Deep and recurrent networks, whose signals shall keep their length.",
        stability="In float64. Rows that outnumber the columns can never be orthonormal: soft is "
        "then least at a tight frame. The first of equal largest elements or values is moved.",
        data="Matrices; a tensor is one of its axis 0 by the rest.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 0.01},
    ),
)
def orthogonal(weights: Weights, *, params: OrthogonalParams) -> Float[Tensor, ""]:
    """Lambda times the distance of each weight's Gram matrix from the identity, by its kind."""
    return params.coefficient * total(
        [_distance(as_matrix(each.double()), params.kind) for each in weights]
    )


def _distance(matrix: Tensor, kind: str) -> Tensor:
    excess = _excess(matrix)
    if kind == "soft":
        return excess.square().sum()
    if kind == "double_soft":
        return excess.square().sum() + _excess(matrix.T).square().sum()
    if not excess.numel():
        return excess.sum()
    if kind == "mutual_coherence":
        return excess.abs().flatten()[excess.detach().abs().argmax()]
    values, vectors = torch.linalg.eigh(excess.detach())
    worst = values.abs().argmax()
    vector = vectors[:, worst]
    value: Tensor = vector @ excess @ vector
    return torch.sign(values[worst]) * value


def _excess(matrix: Tensor) -> Tensor:
    gram = matrix @ matrix.T
    return gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
