"""Tempered logarithm, exponential and softmax."""

import torch
from torch import Tensor

_HALVINGS, _NEWTON_STEPS = 24, 6  # together they reach float64's last digits from any bracket
_NEAR_ONE = 1e-12  # temperatures this near to 1 are 1: their first difference is below rounding


def log_of_exp(u: Tensor, t: float) -> Tensor:
    """The log of exp_t(u) = max(0, 1 + (1 - t) u)^(1 / (1 - t)); -inf beyond its support."""
    if abs(t - 1.0) < _NEAR_ONE:
        return u
    inner = (1.0 - t) * u
    outside = inner <= -1.0
    log_p = torch.log1p(inner.masked_fill(outside, 0.0)) / (1.0 - t)
    return log_p.masked_fill(outside, -torch.inf)


def log_t(log_p: Tensor, t: float) -> Tensor:
    """(p^(1 - t) - 1) / (1 - t) of log p; log p at t = 1."""
    if abs(t - 1.0) < _NEAR_ONE:
        return log_p
    return torch.expm1((1.0 - t) * log_p) / (1.0 - t)


def log_tempered_softmax(logits: Tensor, t: float) -> Tensor:
    """Log of exp_t(z - c) over axis 1, c such that these sum to 1; -inf where there is no support.

    c is found without a gradient. One more step of Newton's method, which leaves its value where
    it is, gives it the derivative of the implicit function: sum of p^t dz over sum of p^t.
    """
    if abs(t - 1.0) < _NEAR_ONE:
        return torch.log_softmax(logits, 1)
    impossible = logits == -torch.inf
    finite = logits.masked_fill(impossible, 0.0)
    highest = logits.detach().amax(1, keepdim=True)
    u = (finite - highest).masked_fill(impossible, 0.0)
    start = _normalizer(u.detach(), impossible, t)
    p = log_of_exp(u - start, t).masked_fill(impossible, -torch.inf).exp()
    slope = (p.detach().clamp_min(0.0) ** t).masked_fill(p.detach() == 0, 0.0).sum(1, keepdim=True)
    normalizer = start + (p.sum(1, keepdim=True) - 1.0) / slope
    return log_of_exp(u - normalizer, t).masked_fill(impossible, -torch.inf)


def _normalizer(u: Tensor, impossible: Tensor, t: float) -> Tensor:
    """c with sum exp_t(u - c) = 1, of u whose largest is 0.

    Between 0, where the largest has p = 1, and -log_t(1 / K), where no p is above 1 / K. The sum
    is convex in c, so Newton's method from the left end of a bracket never oversteps.
    """
    possible = (~impossible).sum(1, keepdim=True).to(u.dtype)
    low = torch.zeros_like(possible)
    high = -log_t(-possible.log(), t)

    def powers(c: Tensor) -> Tensor:
        return log_of_exp(u - c, t).masked_fill(impossible, -torch.inf)

    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        is_low = powers(middle).exp().sum(1, keepdim=True) >= 1.0
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    for _ in range(_NEWTON_STEPS):
        log_p = powers(low)
        slope = (t * log_p).masked_fill(log_p == -torch.inf, -torch.inf).exp().sum(1, keepdim=True)
        low = low + (log_p.exp().sum(1, keepdim=True) - 1.0) / slope
    return low
