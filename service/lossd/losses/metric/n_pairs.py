"""N-pair loss: each anchor must find its positive among those of other classes."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class NPairsParams(LossParams):
    """Parameters of `n_pairs`."""

    l2: float = Field(
        0.0, ge=0, le=1e6, description="Coefficient of the squared lengths of both embeddings."
    )


@loss(
    formula=r"\log\left(1 + \sum_{j \neq i} e^{a_i^\top p_j - a_i^\top p_i}\right) + "
    r"\lambda (\lVert a_i \rVert^2 + \lVert p_i \rVert^2)",
    source="Sohn 2016, NIPS, Improved Deep Metric Learning with Multi-class N-pair Loss, eqs. 6 "
    "and 9",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="info_nce without normalisation and temperature: embeddings choose their "
        "own scale.",
        use="Retrieval with one pair of each of many classes per batch.",
        stability="Lengths grow without bound where nothing holds them: hence l2.",
        data="Pairs, every row of another class; rows of one class are false negatives.",
    ),
    example=Example(
        {
            "anchors": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "positives": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def n_pairs(
    anchors: Embeddings, positives: Partners, *, params: NPairsParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy of an anchor's own positive, over its products with all positives.

    Returns one value per row, in nats, >= 0.
    """
    log_p = torch.log_softmax(anchors @ positives.T, dim=1)
    lengths = anchors.square().sum(1) + positives.square().sum(1)
    return params.l2 * lengths - log_p.diagonal()
