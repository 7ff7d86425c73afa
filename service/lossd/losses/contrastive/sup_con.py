"""Supervised contrastive loss: each row must find all rows of its label among the others."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import NORMALIZE, Embeddings, GroupLabels, mean_among, same_label, unit
from lossd.losses._spec import Card, Example, LossParams


class SupConParams(LossParams):
    """Parameters of `sup_con`."""

    temperature: float = Field(
        0.1, ge=1e-6, le=1e6, description="What similarities are divided by."
    )
    normalize: bool = Field(True, description=NORMALIZE)


def _weights(labels: Tensor, *, params: SupConParams) -> Tensor:
    return same_label(labels).any(1).to(torch.float64)


@loss(
    formula=r"-\frac{1}{|P(i)|} \sum_{p \in P(i)} "
    r"\log \frac{e^{s_{ip} / \tau}}{\sum_{a \neq i} e^{s_{ia} / \tau}}",
    source="Khosla et al. 2020, arXiv:2004.11362, eq. 2 (L_out)",
    units="nats",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Cross-entropy whose right answers are all rows of the anchor's label, "
        "averaged outside the logarithm.",
        use="Pretraining with labels; the classifier is trained afterwards, on frozen embeddings.",
        stability="Log-sum-exp of each row. Positives compete with each other, so the value has a "
        "floor of log |P| above 0.",
        data="Labelled batches with several rows per label; give both views of a row as rows. "
        "Anchors without a positive do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def sup_con(
    embeddings: Embeddings, labels: GroupLabels, *, params: SupConParams
) -> Float[Tensor, "rows"]:
    """Mean over a row's positives of their cross-entropy among all other rows.

    The reference code also multiplies by temperature over base temperature, which is 1 by default.

    Returns one value per row, in nats, >= 0; 0 for a row without a positive.
    """
    x = unit(embeddings, params.normalize)
    logits = (x / params.temperature) @ x.T
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    alone = torch.full_like(itself, len(x) == 1)
    log_p = torch.log_softmax(logits.masked_fill(itself & ~alone, -torch.inf), dim=1)
    return -mean_among(log_p, same_label(labels))
