"""Soft F1: one minus the F1 score, with counts made of probabilities (sigmoidF1)."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import MultiLabels, RowLogits
from lossd.losses._spec import Card, Example, LossParams


class SoftF1Params(LossParams):
    """Parameters of `soft_f1`."""

    slope: float = Field(1.0, ge=1e-6, le=1e6, description="beta: what logits are multiplied by.")
    offset: float = Field(0.0, description="eta: what is added to the logits before.")
    average: Literal["macro", "micro"] = Field(
        "macro", description="The mean of the classes' scores, or the score of all counts."
    )


@loss(
    formula=r"1 - \frac{2\,TP}{2\,TP + FP + FN},\quad TP = \sum_i p_i y_i,\quad "
    r"FP = \sum_i p_i (1 - y_i),\quad FN = \sum_i (1 - p_i) y_i,\quad p = \sigma(\beta (z + \eta))",
    source="Benedict et al. 2021, arXiv:2108.10566, section 3",
    units="share",
    coupling="whole",
    card=Card(
        characteristics="The metric itself, smoothed: in [0, 1], not convex, and it cares for "
        "true negatives not at all.",
        use="Multilabel data judged by F1, to fine-tune after binary_cross_entropy_with_logits.",
        stability="1 - F1 is taken as a share of errors, so nothing cancels. Sure answers have "
        "hardly any gradient.",
        data="Batches with positives of most classes: a class without any costs 1, whatever is "
        "predicted.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [[1, 0, 1], [0, 0, 1]]}
    ),
)
def soft_f1(logits: RowLogits, targets: MultiLabels, *, params: SoftF1Params) -> Float[Tensor, ""]:
    """Share of errors among twice the hits and the errors, counts being sums of probabilities.

    Returns one value for the whole call, in [0, 1]; 1 where nothing is and nothing is predicted.
    """
    if not len(logits):
        return logits.sum()
    scaled = params.slope * (logits + params.offset)
    y = targets.to(logits.dtype)
    p = torch.sigmoid(scaled)
    hits, errors = p * y, p * (1.0 - y) + torch.sigmoid(-scaled) * y
    dims = (0,) if params.average == "macro" else (0, 1)
    found, wrong = hits.sum(dims), errors.sum(dims)
    total = 2.0 * found + wrong
    nothing = total == 0
    return torch.where(nothing, 1.0, wrong / total.masked_fill(nothing, 1.0)).mean()
