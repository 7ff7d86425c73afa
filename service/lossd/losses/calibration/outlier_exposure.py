"""Outlier exposure: cross-entropy of familiar rows, and no opinion wanted about outliers."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import RowLabels, RowLogits
from lossd.losses._ops import at_label, log_softmax
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import IsOutlier


class OutlierExposureParams(LossParams):
    """Parameters of `outlier_exposure`."""

    coefficient: float = Field(0.5, ge=0, description="Weight of outliers.")


@loss(
    formula=r"-\log p_y \text{ of a familiar row};\quad -\frac{\lambda}{C} \sum_k \log p_k "
    r"\text{ of an outlier}",
    source="Hendrycks, Mazeika and Dietterich 2019, arXiv:1812.04606, eq. 1 and section 4.3",
    units="nats",
    card=Card(
        characteristics="Convex. An outlier costs the cross-entropy from the uniform distribution, "
        "log C at least.",
        use="Classifiers that must be unsure of unfamiliar inputs; detect them by the largest "
        "probability.",
        stability="Log-softmax: stable for any finite logits.",
        data="Labelled rows, and rows that belong to no class; the label of an outlier is not "
        "looked at.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.2, 0.4, 3.0]],
            "labels": [0, 2, 0],
            "is_outlier": [0, 0, 1],
        }
    ),
)
def outlier_exposure(
    logits: RowLogits, labels: RowLabels, is_outlier: IsOutlier, *, params: OutlierExposureParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the label, or for an outlier the mean one of all classes.

    The mean is over all rows, where the paper adds the means of both kinds.

    Returns one value per row, in nats, >= 0.
    """
    log_p = log_softmax(logits)
    return -torch.where(
        is_outlier == 1, params.coefficient * log_p.mean(1), at_label(log_p, labels)
    )
