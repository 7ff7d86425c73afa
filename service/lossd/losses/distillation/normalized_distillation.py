"""Normalized knowledge distillation: the teacher's certainty, and its order of other classes."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, times_log
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._teacher import (
    EXAMPLE,
    FiniteTeacherLogits,
    others,
    softened,
)


class NormalizedDistillationParams(LossParams):
    """Parameters of `normalized_distillation`."""

    gamma: float = Field(1.5, ge=0, description="Weight of the other classes' part.")
    temperature: float = Field(
        1.0, ge=1e-3, le=1e3, description="By which the other classes' logits are divided."
    )


@loss(
    formula=r"-p_y \log q_y - \gamma\, T^2 \sum_{k \ne y} \hat p_k^T \log \hat q_k^T",
    source="Yang et al. 2023 (NKD), arXiv:2303.13005, eq. 8",
    units="nats",
    card=Card(
        characteristics="Cross-entropies, not divergences: at the teacher's own answer it is not "
        "0, but its gradient of the second part is.",
        use="Distillation beside cross-entropy of the labels. Known as NKD.",
        stability="In logarithms and in float64; the other classes are normalised without the "
        "label's, exactly.",
        data="A teacher's logits and the labels.",
    ),
    example=Example(EXAMPLE),
)
def normalized_distillation(
    student_logits: FiniteLogits,
    teacher_logits: FiniteTeacherLogits,
    labels: Labels,
    *,
    params: NormalizedDistillationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of the label times the teacher's belief in it, and that of the other classes.

    Returns one value per item, in nats, >= 0. With one class it is 0.
    """
    log_q = torch.log_softmax(softened(student_logits, 1.0), dim=1)
    log_p = torch.log_softmax(softened(teacher_logits, 1.0), dim=1)
    value = -at_label(log_p, labels).exp() * at_label(log_q, labels)
    if student_logits.shape[1] > 1:
        teacher = others(softened(teacher_logits, params.temperature), labels).exp()
        student = others(softened(student_logits, params.temperature), labels)
        rest = -times_log(teacher, student).sum(1)
        value = value + params.gamma * params.temperature**2 * rest
    return value.to(student_logits.dtype)
