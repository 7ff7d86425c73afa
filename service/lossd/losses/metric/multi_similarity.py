"""Multi-similarity loss: every pair of a batch, weighed by how it compares with the others."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._pairs import (
    Embeddings,
    GroupLabels,
    cosines,
    log_sum_exp,
    other_label,
    same_label,
)
from lossd.losses._spec import Card, Example, LossParams


class MultiSimilarityParams(LossParams):
    """Parameters of `multi_similarity`."""

    alpha: float = Field(2.0, ge=1e-3, le=1e6, description="Sharpness of positive pairs.")
    beta: float = Field(50.0, ge=1e-3, le=1e6, description="Sharpness of negative pairs.")
    base: float = Field(
        0.5, ge=-2, le=2, description="Cosine that separates the two kinds; lambda in the paper."
    )
    epsilon: float | None = Field(
        None,
        ge=0,
        description="Mining: only pairs count that are within this of the hardest one of the "
        "other kind (0.1 in the paper); null keeps all.",
    )


@loss(
    formula=r"\tfrac{1}{\alpha} \log\left(1 + \sum_{p} e^{-\alpha (s_{ap} - \lambda)}\right) + "
    r"\tfrac{1}{\beta} \log\left(1 + \sum_{n} e^{\beta (s_{an} - \lambda)}\right)",
    source="Wang et al. 2019, arXiv:1904.06627, eq. 15; mining: eqs. 10 and 11",
    units="cosine",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Weighs a pair by its own cosine and by those of the anchor's other pairs.",
        use="Fine-grained retrieval with a few rows per class and batch.",
        stability="Log-sum-exp; stable at any cosine. A large beta looks at the hardest negatives "
        "alone. Which pairs mining keeps counts as constant.",
        data="Labelled batches; an anchor without positives or negatives has that term 0 and "
        "counts in the mean.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def multi_similarity(
    embeddings: Embeddings, labels: GroupLabels, *, params: MultiSimilarityParams
) -> Float[Tensor, "rows"]:
    """Soft maxima of how near its negatives and how far its positives are, of each anchor.

    Returns one value per anchor, >= 0.
    """
    similarity = cosines(embeddings, embeddings)
    positive, negative = same_label(labels), other_label(labels)
    if params.epsilon is not None and len(labels):
        seen = similarity.detach()
        nearest = seen.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
        farthest = seen.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
        positive = positive & (seen - params.epsilon < nearest)
        negative = negative & (seen + params.epsilon > farthest)
    above = similarity - params.base
    pulled = softplus(log_sum_exp(-params.alpha * above, positive)) / params.alpha
    return pulled + softplus(log_sum_exp(params.beta * above, negative)) / params.beta
