"""Learned confidence: a network may ask for a hint of the answer, and pays for asking."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import at_label, log_softmax, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class LearnedConfidenceParams(LossParams):
    """Parameters of `learned_confidence`."""

    coefficient: float = Field(0.1, ge=0, description="lambda: the price of a hint.")


@loss(
    formula=r"-\log\left(c\, p_y + 1 - c\right) - \lambda \log c,\quad c = \sigma(u)",
    source="DeVries and Taylor 2018, arXiv:1802.04865, section 2",
    units="nats",
    card=Card(
        characteristics="Probabilities are moved to the answer by 1 - c before they are judged, "
        "so that c falls where the network is likely wrong. Not convex.",
        use="A confidence of its own for each row, to tell outliers and errors by.",
        stability="Logarithms are taken of logits. Without a price, or with a large one, c is "
        "the same for all rows: adapt the coefficient to a mean of -log c.",
        data="Labelled rows; hints for half of each batch, as in the paper, by row_weights of "
        "two calls.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "confidence_logits": [1.5, -0.5],
            "labels": [0, 2],
        }
    ),
)
def learned_confidence(
    logits: RowLogits,
    confidence_logits: Annotated[
        Float[Tensor, "rows"], Arg(doc="u: the log-odds of each row's confidence.", gradient=True)
    ],
    labels: RowLabels,
    *,
    params: LearnedConfidenceParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of probabilities mixed with the answer, plus the price of mixing.

    Returns one value per row, in nats, >= 0.
    """
    log_p = at_label(log_softmax(logits), labels)
    asked = softplus(-confidence_logits)
    mixed = torch.logaddexp(log_p - asked, -softplus(confidence_logits))
    return params.coefficient * asked - mixed
