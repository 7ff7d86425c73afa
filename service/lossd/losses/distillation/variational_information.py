"""Variational information distillation: how well a student's layer predicts its teacher's."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class VariationalInformationParams(LossParams):
    """Parameters of `variational_information`."""

    least_variance: float = Field(
        1e-5, ge=1e-12, description="Added to the variance, in squared units of the features."
    )


@loss(
    formula=r"\frac{1}{CP} \sum_{c, x} \tfrac12 \left[\log \sigma_c^2"
    r" + \frac{(t_{cx} - \mu_{cx})^2}{\sigma_c^2}\right],"
    r"\quad \sigma_c^2 = \log(1 + e^{\alpha_c}) + \epsilon",
    source="Ahn et al. 2019 (VID), arXiv:1904.05835, eq. 5 and 6",
    units="nats per feature",
    card=Card(
        characteristics="A Gaussian negative log-likelihood with one learned variance per channel: "
        "channels that cannot be predicted soon weigh little. Unbounded below.",
        use="Distillation of layers of different width, through a small regressor.",
        stability="The least variance bounds the slope.",
        data="Teacher features and the student's prediction of them, in one shape.",
    ),
    example=Example(
        {
            "student": [[[1.0, 0.5, -0.2], [0.3, -1.0, 0.1]]],
            "teacher": [[[0.9, 0.1, 0.2], [0.5, -1.2, 0.0]]],
            "alpha": [1.0, 0.5],
        }
    ),
)
def variational_information(
    student: Annotated[
        Float[Tensor, "rows channels *spatial"],
        Arg(doc="The student's prediction of the teacher's features.", gradient=True),
    ],
    teacher: Annotated[Float[Tensor, "rows channels *spatial"], Arg(doc="The teacher's features.")],
    alpha: Annotated[
        Float[Tensor, "channels"],
        Arg(doc="What the variance of each channel is the softplus of.", gradient=True),
    ],
    *,
    params: VariationalInformationParams,
) -> Float[Tensor, "rows"]:
    """The mean over a row's features of the teacher's negative log-likelihood, without 2 pi.

    Returns one value per row, in nats, of either sign; 0 of no features.
    """
    variance = (softplus(alpha) + params.least_variance).view(1, -1, 1)
    apart = (teacher - student).unsqueeze(2).flatten(2)
    each = 0.5 * (torch.log(variance) + apart.square() / variance)
    return each.sum((1, 2)) / max(1, each[:1].numel())
