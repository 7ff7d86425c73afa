"""What losses of labelled embeddings share: who belongs with whom, and how far apart all are."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._ops import direction
from lossd.losses._ops import log_sum_exp as log_sum_exp_of_all
from lossd.losses._spec import Arg

Embeddings = Annotated[Float[Tensor, "rows features"], Arg(doc="Embeddings.", gradient=True)]
Partners = Annotated[
    Float[Tensor, "rows features"], Arg(doc="The partner of each row.", gradient=True)
]
GroupLabels = Annotated[
    Int[Tensor, "rows"], Arg(doc="Any integer; rows of one label belong together.")
]
Proxies = Annotated[
    Float[Tensor, "classes features"],
    Arg(doc="One vector per class: the weights of a classifier without bias.", gradient=True),
]
ClassLabels = Annotated[Int[Tensor, "rows"], Arg(doc="Class of each row.", index_of="classes")]

NORMALIZE = "Whether embeddings count by direction alone."


def unit(x: Tensor, normalize: bool) -> Tensor:
    """Directions, or the embeddings as they are."""
    return direction(x) if normalize else x


def same_label(labels: Tensor) -> Tensor:
    """Whether two rows belong together; a row does not pair with itself."""
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return (labels[:, None] == labels) & ~itself


def other_label(labels: Tensor) -> Tensor:
    """Whether two rows do not belong together."""
    return labels[:, None] != labels


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """The cosine of each row of `left` with each of `right`; 0 with a zero vector."""
    return direction(left) @ direction(right).T


def distances(left: Tensor, right: Tensor) -> Tensor:
    """Euclidean distance of each row of `left` to each of `right`, of their differences.

    The gradient at distance 0 is 0.
    """
    apart: Tensor = torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
    return apart


def sines(left: Tensor, right: Tensor) -> Tensor:
    """The sine of the angle of each row of `left` with each of `right`, all of length 1.

    By the half chords, for 1 - cos^2 loses small angles in float32. No gradient at 0 and pi.
    """
    return 0.5 * distances(left, right) * distances(left, -right)


def log_sum_exp(x: Tensor, among: Tensor, axis: int = 1) -> Tensor:
    """log of the sum of e^x over what is `among`; -inf, without a gradient, over nothing."""
    nothing = ~among.any(axis, keepdim=True)
    kept = x.masked_fill(~among & ~nothing, -torch.inf)
    total = log_sum_exp_of_all(kept.masked_fill(nothing, 0.0), axis)
    return total.masked_fill(nothing.squeeze(axis), -torch.inf)


def mean_among(x: Tensor, among: Tensor) -> Tensor:
    """Mean along axis 1 of what is `among`; 0 of nothing."""
    return x.masked_fill(~among, 0.0).sum(1) / among.sum(1).clamp(min=1)


def positives_with_negatives(labels: Tensor) -> Tensor:
    """How many positives a row has; 0 where the batch has no negative for it."""
    counts = same_label(labels).sum(1) * other_label(labels).any(1)
    return counts.to(torch.float64)


def has_both(labels: Tensor) -> Tensor:
    """1 for a row that has a positive and a negative in the batch, else 0."""
    return (positives_with_negatives(labels) > 0).to(torch.float64)
