"""Entropy of the predicted distribution."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Logits
from lossd.losses._ops import times_log
from lossd.losses._spec import Card, Example, LossParams


class EntropyParams(LossParams):
    """Parameters of `entropy`."""

    temperature: float = Field(1.0, ge=1e-6, le=1e6, description="What logits are divided by.")


@loss(
    formula=r"-\sum_k p_k \log p_k,\quad p = \operatorname{softmax}(z / \tau)",
    source="Grandvalet and Bengio 2005, Semi-supervised Learning by Entropy Minimization, eq. 5",
    units="nats",
    card=Card(
        characteristics="From 0, all mass on one class, to the logarithm of the number of "
        "possible classes. It needs no labels.",
        use="Lowered: semi-supervised learning and adaptation at test time. Raised (a negative "
        "weight): exploration of policies, less confidence; see confidence_penalty.",
        stability="0 log 0 is 0. Lowered alone it settles on any class, right or not.",
        data="Unlabelled rows of well-separated classes.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]]}),
)
def entropy(logits: Logits, *, params: EntropyParams) -> Float[Tensor, "rows *spatial"]:
    """Expected surprise of the predicted distribution under itself: one value per item."""
    log_p = torch.log_softmax(logits / params.temperature, 1)
    return -times_log(log_p.exp(), log_p).sum(1)
