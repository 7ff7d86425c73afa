"""Normalised softmax: cross-entropy over cosines to one proxy per class, over a temperature."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies, cosines
from lossd.losses._spec import Card, Example, LossParams


class NormalizedSoftmaxParams(LossParams):
    """Parameters of `normalized_softmax`."""

    temperature: float = Field(0.05, ge=1e-6, le=1e6, description="What cosines are divided by.")


@loss(
    formula=r"-\log \frac{e^{\cos\theta_y / \tau}}{\sum_j e^{\cos\theta_j / \tau}}",
    source="Zhai and Wu 2019, arXiv:1811.12649, eq. 3; NormFace: Wang et al. 2017, "
    "arXiv:1704.06369",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="A classifier that sees directions only; its weights are proxies.",
        use="Retrieval trained as classification: a strong and simple baseline.",
        stability="Log-sum-exp. A zero vector has cosine 0 and no gradient.",
        data="Labelled classes; rows x classes cosines are made.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        },
        {"temperature": 0.5},
    ),
)
def normalized_softmax(
    embeddings: Embeddings,
    proxies: Proxies,
    labels: ClassLabels,
    *,
    params: NormalizedSoftmaxParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy over cosines divided by the temperature.

    Returns one value per row, in nats, >= 0.
    """
    logits = cosines(embeddings, proxies) / params.temperature
    return -at_label(torch.log_softmax(logits, dim=1), labels)
