"""Channel-wise distillation: each channel's map as a distribution over places."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import kl_divergence_of
from lossd.losses._spec import Arg, Card, Example, LossParams


class ChannelWiseDistillationParams(LossParams):
    """Parameters of `channel_wise_distillation`."""

    temperature: float = Field(
        4.0, ge=1e-3, le=1e3, description="T, by which both divide their maps."
    )


@loss(
    formula=r"\frac{T^2}{C} \sum_c \mathrm{KL}\big(\sigma_x(t_c / T) \,\|\, \sigma_x(s_c / T)\big)",
    source="Shu et al. 2021 (CWD), arXiv:2011.13256, eq. 4 and 5",
    units="nats per channel",
    card=Card(
        characteristics="The softmax runs over places, not classes: the student learns where each "
        "channel is active, and nothing of its size.",
        use="Distillation of dense predictors: segmentation, detection; on features or logits.",
        stability="In logarithms and in float64.",
        data="Maps of one shape.",
    ),
    example=Example(
        {
            "student": [[[1.0, 0.5, -0.2], [0.3, -1.0, 0.1]]],
            "teacher": [[[0.9, 0.1, 0.2], [0.5, -1.2, 0.0]]],
        }
    ),
)
def channel_wise_distillation(
    student: Annotated[
        Float[Tensor, "rows channels *spatial"], Arg(doc="The student's maps.", gradient=True)
    ],
    teacher: Annotated[Float[Tensor, "rows channels *spatial"], Arg(doc="The teacher's maps.")],
    *,
    params: ChannelWiseDistillationParams,
) -> Float[Tensor, "rows"]:
    """The mean over channels of the divergence of their distributions over places, times T^2.

    Returns one value per row, in nats, >= 0 up to rounding; 0 of no channels or places.
    """
    log_p, log_q = (_over_places(x, params.temperature) for x in (teacher, student))
    divergence = kl_divergence_of(log_p, log_q).sum(1)
    scale = params.temperature**2 / max(1, student.shape[1])
    return (scale * divergence).to(student.dtype)


def _over_places(x: Tensor, temperature: float) -> Tensor:
    """(rows, places, channels), log-probabilities over places, in float64."""
    flat = x.double().unsqueeze(2).flatten(2).movedim(2, 1)
    if not flat.numel():
        return flat
    return torch.log_softmax((flat - flat.detach().amax(1, keepdim=True)) / temperature, dim=1)
