"""InfoNCE: each query must find its own key among all the others; symmetric, it is CLIP's loss."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import LogitScale
from lossd.losses._ops import direction
from lossd.losses._spec import Arg, Card, Example, LossParams


class InfoNceParams(LossParams):
    """Parameters of `info_nce`."""

    temperature: float = Field(
        0.07,
        ge=1e-6,
        le=1e6,
        description="What similarities are divided by, unless logit_scale is given.",
    )
    normalize: bool = Field(
        True, description="Whether embeddings count by direction alone (cosine similarity)."
    )
    symmetric: bool = Field(
        False, description="Whether keys must find their queries too: the mean of both losses."
    )


@loss(
    formula=r"-\log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ij} / \tau} + \sum_n e^{s_{in} / \tau}},"
    r"\quad s_{ij} = \langle q_i, k_j \rangle",
    source="van den Oord, Li and Vinyals 2018, arXiv:1807.03748, eq. 4; symmetric: Radford et al. "
    "2021, arXiv:2103.00020, figure 3",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "negatives")),
    card=Card(
        characteristics="Cross-entropy over similarities; every row is the others' negative. At "
        "most log(rows) is learned about a pair.",
        use="Self-supervised and image-text embeddings, retrieval.",
        stability="Log-sum-exp of each row. A zero vector has similarity 0 and, normalised, no "
        "gradient. A small temperature looks at the hardest negatives only.",
        data="Pairs, many per batch; rows that are alike are false negatives of each other.",
    ),
    example=Example(
        {
            "queries": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "keys": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
            "negatives": [[-1.0, 0.5]],
        },
        {"temperature": 0.5},
    ),
)
def info_nce(
    queries: Annotated[Float[Tensor, "rows features"], Arg(doc="Embeddings.", gradient=True)],
    keys: Annotated[
        Float[Tensor, "rows features"],
        Arg(doc="The partner of each query, and a negative of all others.", gradient=True),
    ],
    negatives: Annotated[
        Float[Tensor, "negatives features"],
        Arg(doc="More keys, the partner of no query.", gradient=True),
    ]
    | None = None,
    logit_scale: LogitScale | None = None,
    *,
    params: InfoNceParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of a query's own key, over its similarity with every key and negative.

    `logit_scale` takes the place of 1 / temperature where the temperature is learned. Symmetric,
    a row's value is the mean of it and of the cross-entropy of a key's own query over all queries,
    which `negatives` are no part of.

    Returns one value per row, in nats, >= 0.
    """
    others = negatives
    if params.normalize:
        queries, keys = direction(queries), direction(keys)
        others = None if negatives is None else direction(negatives)
    scale = 1.0 / params.temperature if logit_scale is None else logit_scale
    # Scaled before the product, so that no similarity of small embeddings is lost.
    queries = queries * scale
    similarity = queries @ keys.T
    among = similarity if others is None else torch.cat((similarity, queries @ others.T), dim=1)
    value = -torch.log_softmax(among, dim=1).diagonal()
    if not params.symmetric:
        return value
    return 0.5 * (value - torch.log_softmax(similarity, dim=0).diagonal())
