"""VICReg: views agree, each feature keeps its spread, and features do not repeat each other."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class VicregParams(LossParams):
    """Parameters of `vicreg`."""

    invariance_weight: float = Field(25.0, ge=0, le=1e6, description="Of the squared difference.")
    variance_weight: float = Field(25.0, ge=0, le=1e6, description="Of the lack of spread.")
    covariance_weight: float = Field(1.0, ge=0, le=1e6, description="Of the covariances.")
    epsilon: float = Field(1e-4, gt=0, le=1, description="Added to a variance below the root.")


@loss(
    formula=r"\lambda \frac{\lVert X - Y \rVert^2}{n d} + \tfrac{\mu}{2} \left(v(X) + v(Y)\right) "
    r"+ \nu \left(c(X) + c(Y)\right), \quad v = \tfrac{1}{d} \sum_j \left[1 - "
    r"\sqrt{\operatorname{var}(x_j) + \epsilon}\right]_+, \quad c = \tfrac{1}{d} "
    r"\sum_{j \neq k} \operatorname{cov}(x_j, x_k)^2",
    source="Bardes, Ponce and LeCun 2022, arXiv:2105.04906, eqs. 1 to 6; the half of the variance "
    "term is that of its reference code",
    units="squared units of the embeddings",
    coupling="whole",
    matrices=(("features", "features"), ("features", "features")),
    card=Card(
        characteristics="Keeps embeddings from collapsing without negatives, a constant target or "
        "a predictor.",
        use="Self-supervised pretraining; the two views may come from different networks.",
        stability="Embeddings are not normalised. Where a feature's spread reaches 1 there is a "
        "kink with gradient 0.",
        data="Two views per row, batches of hundreds and more. Covariances of every two features "
        "are made. With fewer than two rows there is no spread.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def vicreg(left: Embeddings, right: Partners, *, params: VicregParams) -> Float[Tensor, ""]:
    """Weighted sum of the three terms, of unbiased variances and covariances.

    Returns one value for the batch, >= 0.
    """
    agree = (left - right).square().sum() / max(left.numel(), 1)
    terms = [_spread_and_covariance(x, params.epsilon) for x in (left, right)]
    value = params.invariance_weight * agree
    for spread, covariance in terms:
        value = value + 0.5 * params.variance_weight * spread
        value = value + params.covariance_weight * covariance
    return value


def _spread_and_covariance(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    rows, features = x.shape
    centred = x - x.sum(0) / max(rows, 1)
    covariance = centred.T @ centred / max(rows - 1, 1)
    deviation = (covariance.diagonal() + epsilon).sqrt()
    itself = torch.eye(features, dtype=torch.bool, device=x.device)
    between = covariance.masked_fill(itself, 0.0).square().sum()
    count = max(features, 1)
    return positive_part(1.0 - deviation).sum() / count, between / count
