"""HN-NCE: symmetric InfoNCE whose negatives count the more, the more alike they are."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import NORMALIZE, Embeddings, Partners, log_sum_exp, unit
from lossd.losses._spec import Card, Example, LossParams


class HardNegativeNceParams(LossParams):
    """Parameters of `hard_negative_nce`."""

    temperature: float = Field(
        0.07, ge=1e-6, le=1e6, description="What similarities are divided by."
    )
    alpha: float = Field(
        1.0, ge=0, le=1, description="Weight of the positive in the denominator; 0: decoupled."
    )
    beta: float = Field(
        0.25, ge=0, le=100, description="How much more hard negatives count; 0: all alike."
    )
    normalize: bool = Field(True, description=NORMALIZE)


@loss(
    formula=r"-\log \frac{e^{s_{ii} / \tau}}{\alpha e^{s_{ii} / \tau} + \sum_{j \neq i} w_{ij} "
    r"e^{s_{ij} / \tau}}, \quad w_{ij} = (n - 1) \frac{e^{\beta s_{ij} / \tau}}"
    r"{\sum_{k \neq i} e^{\beta s_{ik} / \tau}}",
    source="Radenovic et al. 2023, arXiv:2301.02280, eqs. 3 to 5; here the mean of both "
    "directions, not their sum",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="CLIP's loss with importance weights on the negatives of each row.",
        use="Image-text embeddings at batches that hold few hard negatives.",
        stability="Log-sum-exp throughout; the gradient goes through the weights. A large beta "
        "follows false negatives.",
        data="Pairs. A row alone has nothing to be told from and the value 0.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        },
        {"temperature": 0.5},
    ),
)
def hard_negative_nce(
    left: Embeddings, right: Partners, *, params: HardNegativeNceParams
) -> Float[Tensor, "rows"]:
    """Mean of both directions' loss of finding one's partner among weighted negatives.

    Returns one value per row, in nats.
    """
    x, y = unit(left, params.normalize), unit(right, params.normalize)
    logits = (x / params.temperature) @ y.T
    if len(x) < 2:
        return logits.diagonal() * 0.0
    return 0.5 * (_one_way(logits, params) + _one_way(logits.T, params))


def _one_way(logits: Tensor, params: HardNegativeNceParams) -> Tensor:
    others = ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    hard = log_sum_exp((1.0 + params.beta) * logits, others)
    negatives = hard - log_sum_exp(params.beta * logits, others) + math.log(len(logits) - 1)
    own = logits.diagonal()
    if params.alpha == 0.0:
        return negatives - own
    return torch.logaddexp(math.log(params.alpha) + own, negatives) - own
