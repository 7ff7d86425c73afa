"""DIST: correlation with the teacher, over the classes of a row and over the rows of a class."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits
from lossd.losses._ops import direction
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._teacher import FiniteTeacherLogits, softened


class DistParams(LossParams):
    """Parameters of `dist`."""

    beta: float = Field(1.0, ge=0, description="Weight of the correlation over a row's classes.")
    gamma: float = Field(1.0, ge=0, description="Weight of the correlation over a class's rows.")
    temperature: float = Field(
        1.0, ge=1e-3, le=1e3, description="T, by which both divide their logits."
    )


@loss(
    formula=r"T^2 \left[\beta \big(1 - \rho(q_i, p_i)\big)"
    r" + \frac{\gamma}{C} \sum_k \big(1 - \rho(q_{\cdot k}, p_{\cdot k})\big)\right]",
    source="Huang et al. 2022 (DIST), arXiv:2205.10536, eq. 7 to 9",
    units="1",
    coupling="coupled",
    card=Card(
        characteristics="In [0, 2 (beta + gamma)] at T 1. The order counts, not the values: a "
        "linear map of the teacher's answers is as good as they are.",
        use="Distillation from a teacher that is much stronger than its student.",
        stability="In float64. What does not vary has correlation 0, without gradient; so with "
        "one row the second part is gamma.",
        data="A teacher's logits; batches of many rows.",
    ),
    example=Example(
        {
            "student_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.0, 0.5, 1.0]],
            "teacher_logits": [[3.0, 0.2, -2.0], [0.0, 0.4, 2.1], [0.5, 0.0, 1.5]],
        }
    ),
)
def dist(
    student_logits: FiniteLogits, teacher_logits: FiniteTeacherLogits, *, params: DistParams
) -> Float[Tensor, "rows *spatial"]:
    """One minus the correlation of both answers over a row, and the mean of that over classes.

    Every item's value holds the second part whole, so that the mean is the paper's loss.

    Returns one value per item, in [0, 2 T^2 (beta + gamma)].
    """
    classes, shape = student_logits.shape[1], student_logits[:, 0].shape
    q, p = (
        torch.softmax(softened(x, params.temperature), dim=1).movedim(1, -1).reshape(-1, classes)
        for x in (student_logits, teacher_logits)
    )
    inter = 1.0 - _correlations(q, p)
    intra = 1.0 - _correlations(q.T, p.T).mean()
    value = params.temperature**2 * (params.beta * inter + params.gamma * intra)
    return value.reshape(shape).to(student_logits.dtype)


def _correlations(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's, of each row; 0 where a side does not vary."""
    return (_standardized(left) * _standardized(right)).sum(1)


def _standardized(x: Tensor) -> Tensor:
    if not x.numel():
        return x
    flat = (x == x[:, :1]).all(1, keepdim=True)
    return direction((x - x.mean(1, keepdim=True)).masked_fill(flat, 0.0))
