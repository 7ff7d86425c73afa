"""What a student learns from."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

TeacherLogits = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="The teacher's raw scores; -inf marks a class that cannot be.", minus_infinity=True),
]
FiniteTeacherLogits = Annotated[
    Float[Tensor, "rows classes *spatial"], Arg(doc="The teacher's raw scores.")
]
EXAMPLE = {
    "student_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
    "teacher_logits": [[3.0, 0.2, -2.0], [0.0, 0.4, 2.1]],
    "labels": [0, 2],
}


def softened(logits: Tensor, temperature: float) -> Tensor:
    """Logits over a temperature, less the largest, in float64.

    Two softened distributions differ by 1 / T, and T^2 times the rounding of float32 would show.
    """
    wide = logits.double()
    # The largest is taken off first: divided by a small temperature it might overflow.
    return (wide - wide.detach().amax(1, keepdim=True)) / temperature


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities among the classes that are not the label, which has -inf."""
    return torch.log_softmax(logits.scatter(1, labels.unsqueeze(1), -torch.inf), dim=1)
