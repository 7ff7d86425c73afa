"""Fenchel-Young losses: Omega*(z) + Omega(t) - <z, t>, whose gradient is argmax - t.

Blondel, Martins and Niculae 2020, arXiv:1901.02324. The largest value over distributions p of
<z, p> - Omega(p) is taken at a p that counts as constant: by the envelope theorem the gradient
still is the whole one.
"""

import math

import torch
from torch import Tensor

_HALVINGS = 64  # of an interval no longer than log(classes): to the last bit of float64
_MOST_STEPS = 64  # near alpha 1 the climb takes about log(classes) of them, and then a few
_LAST_STEP = 1e-9  # the error after it is of the order of its square
_LEAST = 1e-9  # nearer to 1 Tsallis' entropies are Shannon's, in float64 too


def tsallis_value(logits: Tensor, target: Tensor, alpha: float) -> Tensor:
    """The loss of the Tsallis entropy of order alpha, over axis 1: 1 is Shannon's, 2 Gini's.

    Targets must sum to 1 over axis 1.
    """
    # The same for all logits of an item on both sides, so from the largest on.
    wide = logits.double() - logits.detach().double().amax(1, keepdim=True)
    target = target.double()
    p = tsallis_argmax(wide.detach(), alpha)
    linear = ((p - target) * wide).sum(1)
    return (linear + tsallis_entropy(p, alpha) - tsallis_entropy(target, alpha)).to(logits.dtype)


def tsallis_entropy(p: Tensor, alpha: float) -> Tensor:
    """sum (p - p^alpha) / (alpha (alpha - 1)) over axis 1; at 1 it is -sum p log p."""
    log_p = p.log().masked_fill(p == 0, 0.0)
    excess = alpha - 1.0
    if excess < _LEAST:
        return -(p * log_p).sum(1)
    return -(p * torch.expm1(excess * log_p)).sum(1) / (alpha * excess)


def tsallis_argmax(logits: Tensor, alpha: float) -> Tensor:
    """The distribution over axis 1, entmax: softmax at 1, sparsemax at 2. Largest logits are 0."""
    excess = alpha - 1.0
    if excess < _LEAST:
        return torch.softmax(logits, dim=1)
    shift = _climbed(logits, excess) if excess <= 1.0 else _halved(logits, excess)
    p = _shares(logits, shift, excess)
    return p / p.sum(1, keepdim=True)


def _shares(logits: Tensor, shift: Tensor, excess: float) -> Tensor:
    """(1 + excess (z - shift))^(1 / excess), 0 where its base is not above 0."""
    left = (excess * (logits - shift)).clamp(min=-1.0)
    return torch.exp(torch.log1p(left) / excess)


def _climbed(logits: Tensor, excess: float) -> Tensor:
    """The shift at which shares sum to 1, by Newton's method.

    The sum is convex in the shift and too large at 0, so that steps never pass the root. A row
    stops for itself: its bits do not depend on how long others climb.
    """
    shift = torch.zeros_like(logits[:, :1])
    climbing = torch.ones_like(shift, dtype=torch.bool)
    for _ in range(_MOST_STEPS):
        p = _shares(logits, shift, excess)
        base = (1.0 + excess * (logits - shift)).masked_fill(p == 0, 1.0)
        step = (p.sum(1, keepdim=True) - 1.0) / (p / base).sum(1, keepdim=True)
        shift = torch.where(climbing, shift + step, shift)
        climbing = climbing & (step > _LAST_STEP)
        if not bool(climbing.any()):
            break
    return shift


def _halved(logits: Tensor, excess: float) -> Tensor:
    """The same by halving: between where the largest logit has all, and where 1 / classes."""
    low = torch.zeros_like(logits[:, :1])
    high = low - math.expm1(-excess * math.log(logits.shape[1])) / excess
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        too_much = _shares(logits, middle, excess).sum(1, keepdim=True) >= 1.0
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    return low


def one_hot_or(target: Tensor | None, labels: Tensor | None, like: Tensor) -> Tensor:
    """Target probabilities, or 1 at the label, in the shape and dtype of `like`."""
    if target is not None:
        return target
    assert labels is not None
    return torch.zeros_like(like).scatter(1, labels.unsqueeze(1), 1.0)
