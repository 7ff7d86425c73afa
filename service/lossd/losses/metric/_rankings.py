"""What losses of graded pairs share: every two pairs in the wrong order cost."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._ops import softplus
from lossd.losses._pairs import log_sum_exp
from lossd.losses._spec import Arg

Grades = Annotated[Float[Tensor, "rows"], Arg(doc="How alike each pair is; only the order counts.")]


def order_loss(scores: Tensor, grades: Tensor, scale: float) -> Tensor:
    """log of 1 and the sum of e^(scale * (s_i - s_j)) over all i graded below j."""
    difference = scale * (scores[:, None] - scores)
    below = grades[:, None] < grades
    return softplus(log_sum_exp(difference.reshape(1, -1), below.view(1, -1)))[0]


def angle_similarity(left: Tensor, right: Tensor) -> Tensor:
    """|cos + sin| of directions, whose halves are real and imaginary parts; odd ones are padded."""
    if left.shape[1] % 2:
        left, right = (torch.nn.functional.pad(x, (0, 1)) for x in (left, right))
    left_real, left_imaginary = left.chunk(2, dim=1)
    right_real, right_imaginary = right.chunk(2, dim=1)
    sine = (left_imaginary * right_real - left_real * right_imaginary).sum(1)
    return ((left * right).sum(1) + sine).abs()
