"""Inputs that losses of adversarial training share, and what they compute of them."""

import torch
from torch import Tensor

from lossd.losses._ops import at_label, log_sum_exp


def log_others(logits: Tensor, labels: Tensor) -> Tensor:
    """log(1 - p) of the most probable class that is not the label; 0 where there is no other."""
    rivals = without(logits, labels)
    best = rivals.argmax(1)
    rest = log_sum_exp(without(torch.log_softmax(logits, 1), best), 1)
    return rest if logits.shape[1] > 1 else torch.zeros_like(rest)


def without(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with -inf at the labels."""
    return logits.scatter(1, labels.unsqueeze(1), -torch.inf)


def largest_other(logits: Tensor, labels: Tensor) -> Tensor:
    """The largest logit but that of the label, the first of equal ones; the label's if alone."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    return at_label(logits, without(logits.detach(), labels).argmax(1))
