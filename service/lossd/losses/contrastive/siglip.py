"""Sigmoid loss of pairs: of every two embeddings, are they partners or not?"""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import LogitScale
from lossd.losses._ops import direction, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class SiglipParams(LossParams):
    """Parameters of `siglip`."""

    normalize: bool = Field(
        True, description="Whether embeddings count by direction alone (cosine similarity)."
    )


@loss(
    formula=r"-\sum_j \log \sigma\left(z_{ij} (t \langle x_i, y_j \rangle + b)\right),"
    r"\quad z_{ij} = 1 \text{ if } i = j \text{ else } -1",
    source="Zhai et al. 2023, arXiv:2303.15343, algorithm 1, with its sign of the bias",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Every pair is a yes-or-no question of its own; there is no softmax.",
        use="Image-text embeddings; at small batches it is ahead of info_nce.",
        stability="Stable for any finite similarity. Almost all pairs are negative: start at a "
        "bias of -10 and a scale of 10, or the first steps are spent on that.",
        data="Pairs; rows that are alike are false negatives of each other.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
            "logit_scale": 10.0,
            "logit_bias": -10.0,
        }
    ),
)
def siglip(
    left: Annotated[Float[Tensor, "rows features"], Arg(doc="Embeddings.", gradient=True)],
    right: Annotated[Float[Tensor, "rows features"], Arg(doc="Their partners.", gradient=True)],
    logit_scale: LogitScale,
    logit_bias: Annotated[
        Float[Tensor, ""], Arg(doc="b, added to every scaled similarity.", gradient=True)
    ],
    *,
    params: SiglipParams,
) -> Float[Tensor, "rows"]:
    """Binary cross-entropy of each left embedding with every right one, added up.

    Partners are the rows of one index, so the mean is the sum over all pairs divided by the rows,
    as in the paper. A zero vector has similarity 0 and, normalised, no gradient.

    Returns one value per row of `left`, in nats, >= 0.
    """
    if params.normalize:
        left, right = direction(left), direction(right)
    logits = (left * logit_scale) @ right.T + logit_bias
    partners = torch.eye(len(left), dtype=torch.bool, device=left.device)
    return softplus(torch.where(partners, -logits, logits)).sum(1)
