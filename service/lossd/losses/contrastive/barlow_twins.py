"""Barlow Twins: the features of two views correlate with themselves and with no other."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class BarlowTwinsParams(LossParams):
    """Parameters of `barlow_twins`."""

    redundancy_weight: float = Field(
        0.005, ge=0, le=1e6, description="lambda: of correlations between different features."
    )
    epsilon: float = Field(
        1e-5, gt=0, le=1, description="Added to a variance below the root, as batch norm does."
    )


@loss(
    formula=r"\sum_j (1 - C_{jj})^2 + \lambda \sum_{j \neq k} C_{jk}^2, \quad C = \tfrac{1}{n} "
    r"\hat X^\top \hat Y",
    source="Zbontar et al. 2021, arXiv:2103.03230, eqs. 1 and 2, normalised as in its reference "
    "code",
    units="squared correlation",
    coupling="whole",
    matrices=(("features", "features"),),
    card=Card(
        characteristics="Learns from correlations of features over the batch, not of rows: small "
        "batches do, wide embeddings help.",
        use="Self-supervised pretraining.",
        stability="Sums over features: the value grows with their number. A feature that does not "
        "vary has correlation 0, and gets a gradient of 1 / sqrt(epsilon).",
        data="Two views per row. Correlations of every two features are made.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def barlow_twins(
    left: Embeddings, right: Partners, *, params: BarlowTwinsParams
) -> Float[Tensor, ""]:
    """Squared distance of the correlations from the identity, off the diagonal by the weight.

    Returns one value for the batch, >= 0.
    """
    rows, features = left.shape
    x, y = (_standard(each, params.epsilon) for each in (left, right))
    correlation = x.T @ y / max(rows, 1)
    itself = torch.eye(features, dtype=torch.bool, device=left.device)
    redundancy = correlation.masked_fill(itself, 0.0).square().sum()
    own = (1.0 - correlation.diagonal()).square().sum()
    return own + params.redundancy_weight * redundancy


def _standard(x: Tensor, epsilon: float) -> Tensor:
    """Features less their mean, over their standard deviation."""
    count = max(len(x), 1)
    centred = x - x.sum(0) / count
    return centred / (centred.square().sum(0) / count + epsilon).sqrt()
