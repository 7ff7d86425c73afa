"""DINO: a student's softmax is to be that of a centred, sharpened teacher on another view."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class DinoParams(LossParams):
    """Parameters of `dino`."""

    student_temperature: float = Field(
        0.1, ge=1e-6, le=1e6, description="What the student's scores are divided by."
    )
    teacher_temperature: float = Field(
        0.04, ge=1e-6, le=1e6, description="What the teacher's are, less their center."
    )
    center_momentum: float = Field(
        0.9, ge=0, le=1, description="How much of the old center goes into the new one."
    )


def state(
    params: DinoParams, teacher_scores: Tensor, center: Tensor | None = None
) -> dict[str, Tensor]:
    """`center`: the old one and the mean of the teacher's scores, by the momentum."""
    old = torch.zeros_like(teacher_scores[:0].sum(0)) if center is None else center
    if not len(teacher_scores):
        return {"center": old}
    return {"center": torch.lerp(teacher_scores.mean(0), old, params.center_momentum)}


@loss(
    formula=r"-\sum_k \operatorname{softmax}\left(\tfrac{t - c}{\tau_t}\right)_k \log "
    r"\operatorname{softmax}\left(\tfrac{s}{\tau_s}\right)_k",
    source="Caron et al. 2021, arXiv:2104.14294, eqs. 1 to 4",
    units="nats",
    state=state,
    card=Card(
        characteristics="Distillation without labels: the center keeps one score from winning "
        "everywhere, the low temperature keeps scores from being all alike.",
        use="Self-supervised pretraining of vision transformers: pair every student view with "
        "each teacher view of another crop, one row each.",
        stability="Log-softmax. Without the center, or at equal temperatures, it collapses.",
        data="Scores of two networks, of which the teacher is a running average of the student.",
    ),
    example=Example(
        {
            "student_scores": [[1.0, 0.2, -0.5], [0.1, 0.4, 0.3]],
            "teacher_scores": [[0.9, 0.1, -0.3], [0.0, 0.5, 0.2]],
            "center": [0.3, 0.2, 0.0],
        }
    ),
)
def dino(
    student_scores: Annotated[
        Float[Tensor, "rows scores"], Arg(doc="The student's scores.", gradient=True)
    ],
    teacher_scores: Annotated[
        Float[Tensor, "rows scores"], Arg(doc="The teacher's scores, of another view.")
    ],
    center: Annotated[
        Float[Tensor, "scores"],
        Arg(doc="Running mean of the teacher's scores, 0 if absent.", role="state"),
    ]
    | None = None,
    *,
    params: DinoParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the student's distribution against the teacher's, a constant.

    The center is that of earlier calls; the new one is for the next.

    Returns one value per row, in nats, >= 0.
    """
    centred = teacher_scores if center is None else teacher_scores - center
    wanted = torch.softmax(centred / params.teacher_temperature, dim=1)
    log_p = torch.log_softmax(student_scores / params.student_temperature, dim=1)
    return -(wanted * log_p).sum(1)
