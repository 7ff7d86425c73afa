"""Decoupled knowledge distillation: how sure the teacher is, and what it holds of other classes."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, kl_divergence_of, log_sum_exp
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._teacher import (
    EXAMPLE,
    FiniteTeacherLogits,
    others,
    softened,
)


class DecoupledDistillationParams(LossParams):
    """Parameters of `decoupled_distillation`."""

    alpha: float = Field(1.0, ge=0, description="Weight of the target class's part.")
    beta: float = Field(8.0, ge=0, description="Weight of the other classes' part.")
    temperature: float = Field(
        4.0, ge=1e-3, le=1e3, description="T, by which both divide their logits."
    )


@loss(
    formula=r"T^2 \left[\alpha\, \mathrm{KL}\big((p_y, 1 - p_y) \,\|\, (q_y, 1 - q_y)\big)"
    r" + \beta\, \mathrm{KL}(\hat p \,\|\, \hat q)\right],\quad \hat p_k = p_k / (1 - p_y)",
    source="Zhao et al. 2022 (DKD), arXiv:2203.08679, eq. 7",
    units="nats",
    card=Card(
        characteristics="`distillation` in two parts; there the second is weighed by 1 - p_y, and "
        "all but vanishes where the teacher is sure.",
        use="Distillation from a sure teacher, beside cross-entropy of the labels. Known as DKD.",
        stability="Both parts are exact in logarithms and in float64, where the authors' code "
        "masks logits with -1000 and may take the log of 0.",
        data="A teacher's logits and the labels; large beta for sure teachers.",
    ),
    example=Example(EXAMPLE),
)
def decoupled_distillation(
    student_logits: FiniteLogits,
    teacher_logits: FiniteTeacherLogits,
    labels: Labels,
    *,
    params: DecoupledDistillationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Divergence of the student's certainty of the label, and of its order of the other classes.

    Returns one value per item, in nats, >= 0 up to rounding. With one class it is 0.
    """
    if student_logits.shape[1] == 1:
        return student_logits[:, 0] * 0.0
    student = softened(student_logits, params.temperature)
    teacher = softened(teacher_logits, params.temperature)
    certainty = kl_divergence_of(_certainty(teacher, labels), _certainty(student, labels))
    rest = kl_divergence_of(others(teacher, labels), others(student, labels))
    value = params.temperature**2 * (params.alpha * certainty + params.beta * rest)
    return value.to(student_logits.dtype)


def _certainty(logits: Tensor, labels: Tensor) -> Tensor:
    """log of the label's probability, and of all others' together, along axis 1."""
    total = log_sum_exp(logits, dim=1)
    rest = log_sum_exp(logits.scatter(1, labels.unsqueeze(1), -torch.inf), dim=1)
    return torch.stack((at_label(logits, labels) - total, rest - total), dim=1)
