"""Graph Laplacian penalty: neighbours in a graph should have like values."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class GraphLaplacianParams(LossParams):
    """Parameters of `graph_laplacian`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")


@loss(
    formula=r"\lambda \sum_{(i, j) \in E} w_{ij} \|f_i - f_j\|_2^2 = \lambda\, \mathrm{tr}(F^\top"
    r" L F)",
    source="Belkin, Niyogi and Sindhwani 2006, JMLR 7, 2399-2434, section 2",
    units="lambda times squared units of the values",
    coupling="whole",
    reduction="sum",
    card=Card(
        characteristics="Convex and smooth; 0 where each connected part is constant.",
        use="Semi-supervised learning on graphs, smooth weights over neighbouring features.",
        stability="By edges, so no matrix of all nodes is made. Summed in float64.",
        data="Edges, each once: one that is listed both ways counts twice.",
    ),
    example=Example({"values": [[0.5, 1.0], [0.2, 0.8], [0.9, 0.1]], "edges": [[0, 1], [1, 2]]}),
)
def graph_laplacian(
    values: Annotated[
        Float[Tensor, "nodes features"], Arg(doc="The values at each node.", gradient=True)
    ],
    edges: Annotated[
        Int[Tensor, "edges 2"], Arg(doc="The two nodes of each edge.", index_of="nodes")
    ],
    edge_weights: Annotated[
        Float[Tensor, "edges"], Arg(doc="Weight of each edge, 1 if absent.", low=0)
    ]
    | None = None,
    *,
    params: GraphLaplacianParams,
) -> Float[Tensor, ""]:
    """Lambda times the sum over edges of the squared distance of both ends' values."""
    squares = (values[edges[:, 0]] - values[edges[:, 1]]).square().sum(1, dtype=torch.float64)
    if edge_weights is not None:
        squares = squares * edge_weights
    return params.coefficient * squares.sum()
