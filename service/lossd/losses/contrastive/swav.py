"""SwAV: the scores of one view are to predict the balanced cluster of the other."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class SwavParams(LossParams):
    """Parameters of `swav`."""

    temperature: float = Field(0.1, ge=1e-6, le=1e6, description="What scores are divided by.")
    epsilon: float = Field(
        0.05, ge=1e-6, le=1e6, description="What the other view's scores are, for its codes."
    )
    iterations: int = Field(3, ge=1, le=100, description="Of Sinkhorn and Knopp.")


@loss(
    formula=r"-\sum_k q_k \log \operatorname{softmax}\left(\tfrac{s}{\tau}\right)_k",
    source="Caron et al. 2020, arXiv:2006.09882, eqs. 2 to 5",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "prototypes"),),
    card=Card(
        characteristics="Online clustering: codes are balanced over the batch, so no cluster takes "
        "all.",
        use="Self-supervised pretraining with many small crops: call it for both views in turn.",
        stability="Sinkhorn runs on logarithms, so that no small epsilon overflows; codes are "
        "constants.",
        data="Products of normalised embeddings with normalised prototypes, of two views; batches "
        "with more rows than prototypes, or queued scores.",
    ),
    example=Example(
        {
            "scores": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
            "code_scores": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
        }
    ),
)
def swav(
    scores: Annotated[
        Float[Tensor, "rows prototypes"], Arg(doc="Scores of one view.", gradient=True)
    ],
    code_scores: Annotated[
        Float[Tensor, "rows prototypes"], Arg(doc="Scores of the other, that make the codes.")
    ],
    *,
    params: SwavParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of a view's scores against the codes of the other.

    Returns one value per row, in nats, >= 0.
    """
    codes = code_scores / params.epsilon
    for _ in range(params.iterations):
        codes = torch.log_softmax(torch.log_softmax(codes, dim=0), dim=1)
    log_p = torch.log_softmax(scores / params.temperature, dim=1)
    return -(codes.exp() * log_p).sum(1)
