"""NT-Xent: SimCLR's loss. Each of two views of a row must find the other among all views."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import NORMALIZE, Embeddings, Partners, unit
from lossd.losses._spec import Card, Example, LossParams


class NtXentParams(LossParams):
    """Parameters of `nt_xent`."""

    temperature: float = Field(
        0.5, ge=1e-6, le=1e6, description="What similarities are divided by."
    )
    normalize: bool = Field(True, description=NORMALIZE)


@loss(
    formula=r"-\log \frac{e^{s_{ij} / \tau}}{\sum_{k \neq i} e^{s_{ik} / \tau}}",
    source="Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "rows"), ("rows", "rows"), ("rows", "rows")),
    card=Card(
        characteristics="Cross-entropy over the 2 rows - 1 other views; negatives are of both "
        "views, which info_nce lacks.",
        use="Self-supervised pretraining on two augmentations of each row.",
        stability="Log-sum-exp of each view. A small temperature looks at the hardest negatives "
        "only. A zero vector has cosine 0 and no gradient.",
        data="Two views per row, batches of hundreds and more; equal rows are false negatives.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def nt_xent(left: Embeddings, right: Partners, *, params: NtXentParams) -> Float[Tensor, "rows"]:
    """The mean of both views' cross-entropy, of finding the other view among all but oneself.

    The mean over rows is SimCLR's, over all 2 rows views.

    Returns one value per row, in nats, >= 0.
    """
    views = torch.cat((unit(left, params.normalize), unit(right, params.normalize)))
    logits = (views / params.temperature) @ views.T
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    log_p = torch.log_softmax(logits.masked_fill(itself, -torch.inf), dim=1)
    rows = len(left)
    return -0.5 * (log_p.diagonal(rows) + log_p.diagonal(-rows))
