"""RINCE: a robust InfoNCE for pairs of which some do not belong together."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, log_sum_exp
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class RinceParams(LossParams):
    """Parameters of `rince`."""

    temperature: float = Field(0.1, ge=0.02, le=1e6, description="What cosines are divided by.")
    q: float = Field(
        0.5, ge=0.01, le=1, description="Robustness: towards 0 it is InfoNCE, at 1 symmetric."
    )
    density: float = Field(0.025, ge=1e-6, le=1, description="lambda: weight of the negative term.")


@loss(
    formula=r"-\frac{e^{q s_{ii} / \tau}}{q} + \frac{\left(\lambda \sum_j e^{s_{ij} / \tau}"
    r"\right)^q}{q}",
    source="Chuang et al. 2022, arXiv:2201.04309, eq. 5",
    units="exponentials of similarity",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="At q = 1 a wrong pair costs a bounded amount and its gradient is no "
        "larger than another's; at small q it learns like info_nce, hard positives first.",
        use="Video-audio and web image-text pairs, of which many are wrong.",
        stability="Not on a scale of nats: values grow as e^(q / temperature). A temperature below "
        "0.02 would overflow float32 and is refused.",
        data="Pairs, noisy ones too.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        },
        {"temperature": 0.5},
    ),
)
def rince(left: Embeddings, right: Partners, *, params: RinceParams) -> Float[Tensor, "rows"]:
    """The negative term of a row over all right embeddings, its own included, less its positive.

    Returns one value per row.
    """
    logits = (direction(left) / params.temperature) @ direction(right).T
    q = params.q
    pulled = torch.exp(q * logits.diagonal())
    pushed = torch.exp(q * (log_sum_exp(logits, dim=1) + math.log(params.density)))
    return (pushed - pulled) / q
