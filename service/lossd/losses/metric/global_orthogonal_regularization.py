"""Global orthogonal regularisation: embeddings of unrelated rows spread over the whole sphere."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import Embeddings, cosines
from lossd.losses._spec import Card, Example, LossParams


class GlobalOrthogonalRegularizationParams(LossParams):
    """Parameters of `global_orthogonal_regularization`."""

    mean_weight: float = Field(1.0, ge=0, le=1e6, description="Of the squared mean cosine.")
    moment_weight: float = Field(
        1.0, ge=0, le=1e6, description="Of the second moment above 1 / features."
    )


@loss(
    formula=r"w_1 M_1^2 + w_2 \max\left(0, M_2 - \tfrac{1}{d}\right), \quad M_k = "
    r"\tfrac{1}{n (n - 1)} \sum_{i \neq j} \cos^k\theta_{ij}",
    source="Zhang et al. 2017, arXiv:1708.06320, eq. 10, over all two rows of the batch",
    units="squared cosine",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Two moments of the cosines are held to those of random directions.",
        use="Beside a metric loss, at a weight near 1, so that the whole space is used.",
        stability="Bounded; at the second moment of random directions there is a kink.",
        data="Rows that have nothing to do with each other; with fewer than two the value is 0.",
    ),
    example=Example({"embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]]}),
)
def global_orthogonal_regularization(
    embeddings: Embeddings, *, params: GlobalOrthogonalRegularizationParams
) -> Float[Tensor, ""]:
    """Squared mean of the cosines of different rows, and their mean square above 1 / features.

    Returns one value for the batch, >= 0.
    """
    rows, features = embeddings.shape
    itself = torch.eye(rows, dtype=torch.bool, device=embeddings.device)
    cosine = cosines(embeddings, embeddings).masked_fill(itself, 0.0)
    pairs = max(rows * (rows - 1), 1)
    mean, moment = cosine.sum() / pairs, cosine.square().sum() / pairs
    spread = positive_part(moment - 1.0 / max(features, 1))
    return params.mean_weight * mean.square() + params.moment_weight * spread
