"""Distillation of standardized logits: the order of classes counts, not the size of the logits."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits
from lossd.losses._ops import kl_divergence_of
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distillation._teacher import FiniteTeacherLogits


class LogitStandardizationParams(LossParams):
    """Parameters of `logit_standardization`."""

    temperature: float = Field(
        2.0, ge=1e-3, le=1e3, description="T, by which standardized logits are divided."
    )


@loss(
    formula=r"T^2\, \mathrm{KL}\big(\sigma(Z(t) / T) \,\|\, \sigma(Z(s) / T)\big),"
    r"\quad Z(z) = (z - \bar z) / \mathrm{std}(z)",
    source="Sun et al. 2024, arXiv:2403.01427, eq. 12 and algorithm 1",
    units="nats",
    card=Card(
        characteristics="`distillation` where each side has the temperature of its own logits' "
        "spread: neither shift nor scale of logits matters.",
        use="A small student of a much larger teacher, whose logits it cannot match in size.",
        stability="In float64. Logits that are all equal have no spread: they stand for the even "
        "distribution and get no gradient. The spread divides by the number of classes; code "
        "that divides by one less differs.",
        data="A teacher's logits on any inputs, also unlabelled.",
    ),
    example=Example(
        {
            "student_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "teacher_logits": [[3.0, 0.2, -2.0], [0.0, 0.4, 2.1]],
        }
    ),
)
def logit_standardization(
    student_logits: FiniteLogits,
    teacher_logits: FiniteTeacherLogits,
    *,
    params: LogitStandardizationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Divergence of the student from the teacher, both of standardized logits at a temperature.

    Returns one value per item, in nats, >= 0 up to rounding.
    """
    log_p, log_q = (
        torch.log_softmax(_standardized(x) / params.temperature, dim=1)
        for x in (teacher_logits, student_logits)
    )
    return (params.temperature**2 * kl_divergence_of(log_p, log_q)).to(student_logits.dtype)


def _standardized(logits: Tensor) -> Tensor:
    """Mean 0 and spread 1 over the classes, in float64."""
    centred = logits.double() - logits.double().mean(1, keepdim=True)
    flat = (logits == logits[:, :1]).all(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True)
    return centred.masked_fill(flat, 0.0) / variance.masked_fill(flat, 1.0).sqrt()
