"""Matryoshka InfoNCE: InfoNCE of the first few features, of more, and of all."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class MatryoshkaInfoNceParams(LossParams):
    """Parameters of `matryoshka_info_nce`."""

    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (64, 128, 256, 512, 768),
        min_length=1,
        max_length=32,
        strict=False,
        description="How many first features each term takes; more than there are is all.",
    )
    temperature: float = Field(0.05, ge=1e-6, le=1e6, description="What cosines are divided by.")
    symmetric: bool = Field(
        False, description="Whether right rows must find left ones too: the mean of both."
    )


@loss(
    formula=r"\sum_m L_{\text{InfoNCE}}\left(x_{1 \dots m}, y_{1 \dots m}\right)",
    source="Kusupati et al. 2022, arXiv:2205.13147, eq. 1 with equal weights, over InfoNCE as in "
    "sentence-transformers MatryoshkaLoss",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "rows")),
    card=Card(
        characteristics="Makes embeddings that may be cut short: each prefix is normalised and "
        "trained by itself.",
        use="Retrieval where the size of the index is to be chosen later.",
        stability="As info_nce. The value is a sum over sizes, so it grows with their number.",
        data="Pairs, many per batch.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        },
        {"sizes": [1, 2], "temperature": 0.5},
    ),
)
def matryoshka_info_nce(
    left: Embeddings, right: Partners, *, params: MatryoshkaInfoNceParams
) -> Float[Tensor, "rows"]:
    """Sum of the cross-entropies of a row's own partner, one for each prefix.

    Returns one value per row, in nats, >= 0.
    """
    total = left.new_zeros(len(left))
    for size in params.sizes:
        x, y = direction(left[:, :size]), direction(right[:, :size])
        logits = (x / params.temperature) @ y.T
        value = -torch.log_softmax(logits, dim=1).diagonal()
        if params.symmetric:
            value = 0.5 * (value - torch.log_softmax(logits, dim=0).diagonal())
        total = total + value
    return total
