"""Similarity-preserving distillation: rows that excite the teacher alike excite the student so."""

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
    scaled,
)


class SimilarityPreservingParams(LossParams):
    """Parameters of `similarity_preserving`: none."""


@loss(
    formula=r"\frac1N \left\| \tilde G_s[i] - \tilde G_t[i] \right\|_2^2,"
    r"\quad \tilde G[i] = \frac{A[i] A^\top}{\|A[i] A^\top\|_2}",
    source="Tung and Mori 2019, arXiv:1907.09682, eq. 1 to 4",
    units="1",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Inner products of rows, each row's scaled to length 1: the student needs "
        "no layer of the teacher's width.",
        use="Distillation of intermediate layers, flattened.",
        stability="No size of activations over- or underflows. A row without similarities has no "
        "gradient.",
        data="Batches of many rows; activations of any width.",
    ),
    example=Example(EXAMPLE),
)
def similarity_preserving(
    student: StudentFeatures, teacher: TeacherFeatures, *, params: SimilarityPreservingParams
) -> Float[Tensor, "rows"]:
    """The squared difference of a row's similarities to all rows, over their number.

    Returns one value per row, >= 0; their mean is the paper's loss.
    """
    apart = _similarities(student) - _similarities(teacher)
    return apart.square().sum(1) / max(1, len(student))


def _similarities(x: Tensor) -> Tensor:
    x = scaled(x)
    return direction(torch.mm(x, x.T))
