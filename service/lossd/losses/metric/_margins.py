"""What softmax losses with a margin share: angles to the classes, and the softmax of them."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._ops import at_label, direction, one_hot
from lossd.losses._spec import Arg

Centers = Annotated[
    Float[Tensor, "classes centers features"],
    Arg(doc="Several vectors per class.", gradient=True),
]

Beyond = Literal["linear", "none"]
BEYOND = (
    "What the target's cosine becomes where the angle and the margin together exceed pi, past "
    "which cos(angle + margin) grows again: cos(angle) - margin * sin(margin), or nothing special."
)

ANNEALING = (
    "Weight of the plain cosine, blended in: (psi + weight * cos) / (1 + weight); lambda in the "
    "paper's training."
)


def to_classes(embeddings: Tensor, proxies: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cosine of each row with each class, and the sine of each with its own class.

    The sine by the half chords, for 1 - cos^2 loses small angles in float32. It has no gradient
    at angles 0 and pi, which are kinks.
    """
    rows, classes = direction(embeddings), direction(proxies)
    return rows @ classes.T, sine_of(rows, classes[labels])


def sine_of(left: Tensor, right: Tensor) -> Tensor:
    """The sine of the angle of rows of length 1."""
    minus: Tensor = torch.linalg.vector_norm(left - right, dim=1)
    plus: Tensor = torch.linalg.vector_norm(left + right, dim=1)
    return 0.5 * minus * plus


def plus_angle(cosine: Tensor, sine: Tensor, angle: float | Tensor) -> Tensor:
    """cos(theta + angle)."""
    if isinstance(angle, Tensor):
        return cosine * angle.cos() - sine * angle.sin()
    return cosine * math.cos(angle) - sine * math.sin(angle)


def plus_margin(cosine: Tensor, sine: Tensor, margin: Tensor, beyond: Beyond) -> Tensor:
    """cos(theta + margin), and what the loss has instead where that exceeds pi."""
    plain = plus_angle(cosine, sine, margin)
    if beyond == "none":
        return plain
    past = cosine.detach() < -margin.detach().cos()
    return torch.where(past, cosine - margin * margin.sin(), plain)


def times_angle(cosine: Tensor, sine: Tensor, factor: int) -> Tensor:
    """psi(theta) = (-1)^k cos(factor * theta) - 2k, which falls all the way from 0 to pi."""
    before, now = torch.ones_like(cosine), cosine
    for _ in range(factor - 1):
        before, now = now, 2.0 * cosine * now - before
    angle = torch.atan2(sine, cosine).detach()
    k = (factor * angle / math.pi).floor().clamp(0, factor - 1)
    return torch.where(k % 2 == 0, now, -now) - 2.0 * k


def softmax_with(logits: Tensor, own: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the logits, with `own` in place of those of the labels."""
    changed = torch.where(one_hot(labels, logits) == 1, own.unsqueeze(1), logits)
    return -at_label(torch.log_softmax(changed, dim=1), labels)
