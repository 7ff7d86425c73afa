"""Relational distillation by angles: triangles of rows shaped as the teacher's."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._relations import (
    EXAMPLE,
    StudentFeatures,
    TeacherFeatures,
    smooth_l1,
)


class RelationalAngleParams(LossParams):
    """Parameters of `relational_angle`: none."""


@loss(
    formula=r"\frac{1}{N^2} \sum_{j, k} \ell_\delta\big(\cos \angle_t(j, i, k)"
    r" - \cos \angle_s(j, i, k)\big)",
    source="Park et al. 2019 (RKD-A), arXiv:1904.05068, eq. 8 to 10",
    units="1",
    coupling="coupled",
    matrices=(
        ("rows", "rows", "rows"),
        ("rows", "rows", "student_features"),
        ("rows", "rows", "teacher_features"),
    ),
    card=Card(
        characteristics="A higher-order relation than distances; any dimension, rotation, shift "
        "or scale will do.",
        use="Distillation of embeddings; beside `relational_distance`, counted twice as much.",
        stability="Angles at rows of one place are cosines of 0, without gradient.",
        data="Batches of up to a few hundred rows: the work grows with the cube of their number.",
    ),
    example=Example(EXAMPLE),
)
def relational_angle(
    student: StudentFeatures, teacher: TeacherFeatures, *, params: RelationalAngleParams
) -> Float[Tensor, "rows"]:
    """The mean over pairs of rows of the smooth L1 of the difference of both cosines at a row.

    Pairs with the row itself, whose cosine is 0, are part of the mean. Returns one value per row,
    >= 0.
    """
    apart = smooth_l1(_cosines(student) - _cosines(teacher))
    return apart.sum((1, 2)) / max(1, len(student)) ** 2


def _cosines(x: Tensor) -> Tensor:
    """[i, j, k]: of the angle at i between j and k."""
    to = x.unsqueeze(0) - x.unsqueeze(1)
    to = direction(to.flatten(0, 1)).reshape(to.shape)
    return torch.bmm(to, to.mT)
