"""Terms that losses for noisy labels are made of. All are of log-probabilities over axis 1."""

from collections.abc import Callable

import torch
from torch import Tensor

from lossd.losses._ops import at_label, is_ignored, log_softmax_counted, log_sum_exp, one_hot, power

PerClass = Callable[[Tensor], Tensor]


def log_probabilities(
    logits: Tensor, labels: Tensor, ignore_index: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-softmax; labels that may be gathered by; and where they were to be ignored."""
    ignored = is_ignored(labels, ignore_index)
    return log_softmax_counted(logits, ignored), labels.masked_fill(ignored, 0), ignored


def miss_of(log_p: Tensor) -> Tensor:
    """1 - p, of log p."""
    return -torch.expm1(log_p)


def log_miss(log_p: Tensor, labels: Tensor) -> Tensor:
    """log(1 - p) of the labels' classes: of the other classes, added up, so that 1 - p may be tiny.

    -inf, with no gradient, where no other class is possible.
    """
    others = log_p.masked_fill(one_hot(labels, log_p) == 1, -torch.inf)
    nowhere = (others == -torch.inf).all(1)
    total = log_sum_exp(others.masked_fill(nowhere.unsqueeze(1), 0.0), 1)
    return total.masked_fill(nowhere, -torch.inf)


def focal_of(gamma: float) -> PerClass:
    """-(1 - p)^gamma log p, of finite log p."""
    return lambda log_p: -power(miss_of(log_p), gamma) * log_p


def generalized_of(q: float) -> PerClass:
    """(1 - p^q) / q, of finite log p; q > 0."""
    return lambda log_p: -torch.expm1(q * log_p) / q


def normalized(per_class: PerClass, log_p: Tensor, labels: Tensor) -> Tensor:
    """The label's term over the sum of the terms of all classes that are possible.

    1, with no gradient, where the label's class is not possible; 0 where no other class is.
    """
    impossible = log_p == -torch.inf
    terms = per_class(log_p.masked_fill(impossible, 0.0)).masked_fill(impossible, 0.0)
    total = terms.sum(1)
    value = at_label(terms, labels) / total.masked_fill(total == 0, 1.0)
    return value.masked_fill(at_label(impossible, labels), 1.0)


def normalized_miss(log_p: Tensor, labels: Tensor) -> Tensor:
    """1 - p over its sum over all classes that are possible, which is their number less 1."""
    others = (log_p != -torch.inf).sum(1) - 1
    return miss_of(at_label(log_p, labels)) / others.clamp_min(1)
