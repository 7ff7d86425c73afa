"""What losses of this family make of the number of training items of each class."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._ops import at_label, is_ignored, log_softmax_counted
from lossd.losses._spec import Arg

ClassCounts = Annotated[
    Float[Tensor, "classes"],
    Arg(doc="Training items of each class, or their share; a class of 0 cannot be.", low=0),
]
PositiveClassCounts = Annotated[
    Float[Tensor, "classes"], Arg(doc="Training items of each class, at least 1.", low=1)
]


def log_prior(class_counts: Tensor) -> Tensor:
    """The log of each class's share, -inf for a class of 0 items."""
    none = class_counts == 0
    total = class_counts.sum().masked_fill(none.all(), 1.0)
    return (class_counts.log() - total.log()).masked_fill(none, -torch.inf)


def cross_entropy_of(logits: Tensor, labels: Tensor, ignore_index: int | None) -> Tensor:
    """Cross-entropy of adjusted logits; +inf, with no gradient, where no class is left possible."""
    ignored = is_ignored(labels, ignore_index)
    nowhere = (logits == -torch.inf).all(1)
    log_p = log_softmax_counted(logits, ignored | nowhere)
    value = -at_label(log_p, labels.masked_fill(ignored, 0))
    return value.masked_fill(nowhere, torch.inf).masked_fill(ignored, 0.0)
