"""Knowledge distillation: a student learns a teacher's softened answers, and maybe labels."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import (
    at_label,
    counted,
    is_ignored,
    kl_divergence_of,
    log_softmax_counted,
)
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._teacher import TeacherLogits


class DistillationParams(LossParams):
    """Parameters of `distillation`."""

    temperature: float = Field(
        4.0, ge=1e-3, le=1e3, description="T, by which both divide their logits."
    )
    scale_by_temperature_squared: bool = Field(
        True,
        description="Whether the divergence counts T^2 times, so that T leaves its pull alone.",
    )
    alpha: float = Field(
        0.1, ge=0, le=1, description="Share of the labels' cross-entropy, where labels are given."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: DistillationParams,
    teacher_logits: TeacherLogits,
    labels: Int[Tensor, "rows *spatial"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """1 for an item that counts, 0 for an ignored one."""
    if labels is None:
        return torch.ones_like(teacher_logits[:, 0], dtype=torch.float64)
    return counted(labels, params.ignore_index)


@loss(
    formula=r"(1 - \alpha)\, T^2\, \mathrm{KL}(p^T \,\|\, q^T) - \alpha \log q_y,"
    r"\quad p^T = \operatorname{softmax}(t / T),\quad q^T = \operatorname{softmax}(z / T)",
    source="Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="0 where student and teacher agree, but for the labels' share.",
        use="To train a small model on a large one's outputs, with or without labels.",
        stability="In logarithms, and in float64. T^2 keeps the gradient's size as T grows: it is "
        "T (q - p), which tends to the difference of the centred logits over the classes. The mean "
        "is over items; libraries that divide by elements are smaller by the number of classes.",
        data="A teacher's logits on any inputs, also unlabelled; temperatures of 1 to 20.",
    ),
    example=Example(
        {
            "student_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "teacher_logits": [[3.0, 0.2, -2.0], [0.0, 0.4, 2.1]],
            "labels": [0, 2],
        },
        {"temperature": 2.0},
    ),
)
def distillation(
    student_logits: Logits,
    teacher_logits: TeacherLogits,
    labels: IgnorableLabels | None = None,
    *,
    params: DistillationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Divergence of the student from the teacher at a temperature, and cross-entropy at 1.

    Without labels it is the divergence alone, whatever alpha is. The teacher has no gradient;
    kl_divergence has one for both sides.

    Returns one value per item, in nats, >= 0 up to rounding, 0 where ignored; +inf, with no
    gradient, where the student excludes what the teacher does not.
    """
    ignored = torch.zeros_like(teacher_logits[:, 0], dtype=torch.bool)
    if labels is not None:
        ignored = is_ignored(labels, params.ignore_index)
    teacher = _softened(teacher_logits, params.temperature, ignored)
    soft = kl_divergence_of(teacher, _softened(student_logits, params.temperature, ignored))
    if params.scale_by_temperature_squared:
        soft = params.temperature**2 * soft
    soft = soft.to(student_logits.dtype)
    if labels is None:
        return soft
    log_p = log_softmax_counted(student_logits, ignored)
    hard = -at_label(log_p, labels.masked_fill(ignored, 0))
    return _mix(soft, hard, params.alpha).masked_fill(ignored, 0.0)


def _softened(logits: Tensor, temperature: float, ignored: Tensor) -> Tensor:
    """Log-probabilities at a temperature, in float64.

    Two softened distributions differ by 1 / T, and T^2 times the rounding of float32 would show.
    """
    counting = logits.double().masked_fill(ignored.unsqueeze(1), 0.0)
    # The largest is taken off first: divided by a small temperature it might overflow.
    below = counting - counting.detach().amax(1, keepdim=True)
    return torch.log_softmax(below / temperature, dim=1)


def _mix(soft: Tensor, hard: Tensor, alpha: float) -> Tensor:
    """A share of 0 of something infinite is nothing."""
    if alpha in (0, 1):
        return hard if alpha else soft
    return (1.0 - alpha) * soft + alpha * hard
