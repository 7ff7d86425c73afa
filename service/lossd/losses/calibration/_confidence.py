"""What losses of calibration share: misses, and the confidence of a prediction."""

from typing import Annotated

import torch
from jaxtyping import Int
from torch import Tensor

from lossd.losses._ops import at_label, log_softmax, times_log
from lossd.losses._spec import Arg

IsOutlier = Annotated[
    Int[Tensor, "rows"], Arg(doc="1: the row belongs to no class; 0: it does.", values=(0, 1))
]


def focal_value(log_p: Tensor, modulation: Tensor) -> Tensor:
    """-modulation * log_p, 0 where the modulation is."""
    return -times_log(modulation, log_p)


def missed(log_p: Tensor) -> Tensor:
    """1 - p, to the last digits; where p is 0 it is 1, without a gradient."""
    impossible = log_p == -torch.inf
    return (-torch.expm1(log_p.masked_fill(impossible, 0.0))).masked_fill(impossible, 1.0)


def confidence_and_gap(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The probability r of the class that is predicted, and c - r: c is 1 where it is right."""
    log_p = log_softmax(logits)
    predicted = logits.argmax(1)
    log_r = at_label(log_p, predicted)
    confidence = log_r.exp()
    return confidence, torch.where(predicted == labels, -torch.expm1(log_r), -confidence)
