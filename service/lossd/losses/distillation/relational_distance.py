"""Relational distillation by distances: rows as far from each other as the teacher puts them."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._relations import (
    EXAMPLE,
    StudentFeatures,
    TeacherFeatures,
    scaled,
    smooth_l1,
)


class RelationalDistanceParams(LossParams):
    """Parameters of `relational_distance`: none."""


@loss(
    formula=r"\frac1N \sum_j \ell_\delta\big(\psi_t(i, j) - \psi_s(i, j)\big),"
    r"\quad \psi(i, j) = \|f_i - f_j\|_2 / \mu",
    source="Park et al. 2019 (RKD-D), arXiv:1904.05068, eq. 5 to 7",
    units="1",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="The geometry of the batch is learned, not the embeddings: any dimension, "
        "rotation, shift or scale will do.",
        use="Distillation of embeddings; beside `relational_angle`.",
        stability="Distances are over their own mean, of those above 0. Rows at one place have no "
        "gradient from each other.",
        data="Batches of many rows, embedded by both models.",
    ),
    example=Example(EXAMPLE),
)
def relational_distance(
    student: StudentFeatures, teacher: TeacherFeatures, *, params: RelationalDistanceParams
) -> Float[Tensor, "rows"]:
    """The mean over all rows of the smooth L1 of the difference of both scaled distances.

    A row's distance to itself, 0, is part of the mean. Returns one value per row, >= 0.
    """
    apart = smooth_l1(_distances(student) - _distances(teacher))
    return apart.sum(1) / max(1, len(student))


def _distances(x: Tensor) -> Tensor:
    x = scaled(x)
    found = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    count = (found > 0).sum().clamp_min(1)
    mean = found.sum() / count
    return found / mean.masked_fill(mean == 0, 1.0)
