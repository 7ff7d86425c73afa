"""Neighbourhood components analysis: a soft nearest neighbour must have a row's own label."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    distances,
    log_sum_exp,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class NcaParams(LossParams):
    """Parameters of `nca`."""

    scale: float = Field(1.0, gt=0, le=1e6, description="What squared distances are multiplied by.")
    normalize: bool = Field(False, description=NORMALIZE)


def _weights(labels: Tensor, *, params: NcaParams) -> Tensor:
    return same_label(labels).any(1).to(torch.float64)


@loss(
    formula=r"-\log \frac{\sum_{j: y_j = y_i} e^{-\lVert x_i - x_j \rVert^2}}{\sum_{k \neq i} "
    r"e^{-\lVert x_i - x_k \rVert^2}}",
    source="Goldberger et al. 2004, NIPS, Neighbourhood Components Analysis, section 2, its "
    "objective with logarithm",
    units="nats",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="The log-probability that a random neighbour, near ones likelier, has the "
        "right label. One near positive is enough.",
        use="Embeddings for a nearest-neighbour classifier; the soft nearest neighbour loss.",
        stability="Log-sum-exp, so far rows still get a gradient. The scale is a temperature: "
        "lengths matter unless normalised.",
        data="Labelled batches. Rows without a positive do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def nca(embeddings: Embeddings, labels: GroupLabels, *, params: NcaParams) -> Float[Tensor, "rows"]:
    """Negative log-probability of picking a row of the same label, among all but oneself.

    Returns one value per row, in nats, >= 0; 0 for a row without a positive.
    """
    x = unit(embeddings, params.normalize)
    near = -params.scale * distances(x, x).square()
    positive = same_label(labels)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    found = log_sum_exp(near, ~itself) - log_sum_exp(near, positive).masked_fill(
        ~positive.any(1), 0.0
    )
    return found.masked_fill(~positive.any(1), 0.0)
