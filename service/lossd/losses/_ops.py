"""Maths that several losses share. Subgradients at kinks are 0; 0 * -inf is 0."""

import torch
from torch import Tensor

from lossd.losses._shared import log_softmax as log_softmax


def positive_part(x: Tensor) -> Tensor:
    """max(0, x). The subgradient at 0 is 0 (clamp_min gives 1, maximum gives 1/2)."""
    return torch.relu(x)


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for x >= 0, with derivative 0 at x = 0 where the true one is infinite."""
    if exponent == 0.0:
        return torch.ones_like(x)
    safe = torch.where(x > 0, x, torch.ones_like(x))
    return torch.where(x > 0, safe**exponent, torch.zeros_like(x))


def times_log(weight: Tensor, log_p: Tensor) -> Tensor:
    """weight * log_p, where a weight of 0 gives 0 in value and gradient even at log_p = -inf."""
    return weight * log_p.masked_fill(weight == 0, 0.0)


def at_label(x: Tensor, labels: Tensor) -> Tensor:
    """x[i, labels[i], ...]: x is (rows, classes, *spatial), labels (rows, *spatial)."""
    return x.gather(1, labels.unsqueeze(1)).squeeze(1)


def is_ignored(labels: Tensor, ignore_index: int | None) -> Tensor:
    """True where an item does not count."""
    if ignore_index is None:
        return torch.zeros_like(labels, dtype=torch.bool)
    return labels == ignore_index


def counted(labels: Tensor, ignore_index: int | None) -> Tensor:
    """1 for an item that counts in a mean, 0 for an ignored one."""
    return (~is_ignored(labels, ignore_index)).to(torch.float64)


def label_weights(labels: Tensor, class_weights: Tensor | None, ignore_index: int | None) -> Tensor:
    """The class weight of each item's label, 1 without class weights; 0 for an ignored item."""
    if class_weights is None:
        return counted(labels, ignore_index)
    ignored = is_ignored(labels, ignore_index)
    return class_weights[labels.masked_fill(ignored, 0)].masked_fill(ignored, 0.0)


def along_classes(per_class: Tensor, ndim: int) -> Tensor:
    """View a (classes,) tensor so that it multiplies a (rows, classes, *spatial) one."""
    return per_class.view(1, -1, *([1] * (ndim - 2)))


def distance(left: Tensor, right: Tensor) -> Tensor:
    """Euclidean distance of rows; the gradient at distance 0 is 0."""
    length: Tensor = torch.linalg.vector_norm(left - right, dim=1)
    return length


def direction(x: Tensor) -> Tensor:
    """Each row over its Euclidean length; a zero row stays zero and gets no gradient."""
    if not x.numel():
        return x
    # Over the largest size first, or the squares of 1e20 and of 1e-30 are lost in float32. A
    # direction does not change with the length, so the factor may count as constant.
    size = x.detach().abs().amax(1, keepdim=True)
    nowhere = size == 0
    x = x.masked_fill(nowhere, 0.0) / size.masked_fill(nowhere, 1.0)
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / length.masked_fill(nowhere, 1.0)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), exact to rounding everywhere (torch's own switches to x above 20)."""
    return -torch.nn.functional.logsigmoid(-x)


def log_softmax_counted(logits: Tensor, ignored: Tensor) -> Tensor:
    """Log-probabilities over axis 1, those of ignored items being of no consequence.

    They are masked before the softmax, not after: the gradient through an item whose logits are
    all -inf is NaN even where it is not used.
    """
    return log_softmax(logits, ignored)


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """1 at each item's label, along axis 1, else 0; in the shape and dtype of `like`."""
    return torch.zeros_like(like).scatter(1, labels.unsqueeze(1), 1.0)


def kl_divergence_of(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Sum over axis 1 of p (log p - log q).

    0 where p = 0; +inf where q = 0 < p, and such a term has no gradient.
    """
    p = log_p.exp()
    log_ratio = (log_p - log_q).masked_fill(p == 0, 0.0)
    impossible = log_ratio == torch.inf
    terms = p * log_ratio.masked_fill(impossible, 0.0)
    return terms.masked_fill(impossible, torch.inf).sum(1)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, exact to rounding at both ends. Its input must stay below 0."""
    near = x > -0.6931
    return torch.where(
        near,
        torch.log(-torch.expm1(x.masked_fill(~near, -0.5))),
        torch.log1p(-torch.exp(x.masked_fill(near, -1.0))),
    )


def soft_threshold(x: Tensor, by: float) -> Tensor:
    """x moved to 0 by so much, and not beyond."""
    return torch.sign(x) * positive_part(x.abs() - by)


def log1p_square(z: Tensor, b: Tensor) -> Tensor:
    """log(1 + z^2 / b) of z >= 0 and b > 0, also where z^2 is too large for its dtype."""
    far = z > b.sqrt()
    near_z, far_z = z.masked_fill(far, 0.0), z.masked_fill(~far, 1.0)
    beyond = 2.0 * far_z.log() - b.log() + torch.log1p(b / far_z / far_z)
    return torch.where(far, beyond, torch.log1p(near_z.square() / b))


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """log of the sum of e^x, exact to rounding in value and gradient.

    torch.logsumexp takes its gradient from the value, whose last digits are coarse at 1e4.
    """
    if not x.shape[dim]:
        return torch.logsumexp(x, dim)
    best = x.argmax(dim, keepdim=True)
    ahead = torch.log_softmax(x, dim).gather(dim, best)
    return (x.gather(dim, best) - ahead).squeeze(dim)
