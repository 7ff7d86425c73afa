"""Embeddings of a student and its teacher, and how the rows of a batch relate."""

from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

StudentFeatures = Annotated[
    Float[Tensor, "rows student_features"], Arg(doc="The student's embeddings.", gradient=True)
]
TeacherFeatures = Annotated[
    Float[Tensor, "rows teacher_features"], Arg(doc="The teacher's embeddings of the same rows.")
]
EXAMPLE: dict[str, Any] = {
    "student": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.2]],
    "teacher": [[1.0, 0.2, 0.1], [0.3, 0.5, 0.9], [-0.2, 1.0, 0.4]],
}


def scaled(x: Tensor) -> Tensor:
    """x over the largest size in it, which counts as constant: for what no scale changes.

    Else the squares of 1e20 and of 1e-30 were lost in float32.
    """
    if not x.numel():
        return x
    size = x.detach().abs().amax()
    return x / size.masked_fill(size == 0, 1.0)


def smooth_l1(x: Tensor) -> Tensor:
    """x^2 / 2 up to 1, and |x| - 1/2 beyond."""
    return torch.nn.functional.smooth_l1_loss(x, torch.zeros_like(x), reduction="none")
