"""Kahneman-Tversky optimisation: single answers, each desirable or not."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.preference._pairs import Desirable


class KtoParams(LossParams):
    """Parameters of `kto`."""

    variant: Literal["kto", "apo_zero_unpaired"] = Field(
        "kto", description="apo_zero_unpaired takes the reference point as 0, whatever `kl` is."
    )
    beta: float = Field(0.1, gt=0, le=1e4, description="Weight of the log-ratios, unitless.")
    desirable_weight: float = Field(1.0, ge=0, description="Factor of desirable answers.")
    undesirable_weight: float = Field(1.0, ge=0, description="Factor of undesirable answers.")


@loss(
    formula=r"\lambda_y (1 - \sigma(\pm\beta (r - z))),\quad "
    r"r = \log \pi(y) - \log \pi_{\mathrm{ref}}(y)",
    source="Ethayarajh et al. 2024, arXiv:2402.01306, eq. 7 and 8; apo_zero_unpaired: "
    "D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 7",
    units="unitless",
    card=Card(
        characteristics="Bounded utility of one answer against a reference point; no pairs needed.",
        use="Thumbs up and down. Weigh the rarer kind up to a ratio between 1 and 4 / 3.",
        stability="Never diverges, but saturates on both sides: answers far from the reference "
        "point get no gradient.",
        data="Answers with a yes or no each, in any proportion; kl from mismatched pairs.",
    ),
    example=Example(
        {
            "log_probabilities": [-12.0, -25.0, -18.0],
            "reference_log_probabilities": [-13.0, -24.0, -18.5],
            "desirable": [1, 0, 1],
            "kl": 0.25,
        },
        {"undesirable_weight": 1.25},
    ),
)
def kto(
    log_probabilities: Annotated[
        Float[Tensor, "rows"],
        Arg(doc="Log-probability of the answer, summed over its tokens.", gradient=True, high=0),
    ],
    reference_log_probabilities: Annotated[
        Float[Tensor, "rows"],
        Arg(doc="Log-probability of the answer under the reference policy.", high=0),
    ],
    desirable: Desirable,
    kl: Annotated[
        Float[Tensor, ""],
        Arg(
            doc="Reference point, in nats, 0 if absent: the mean log-ratio of answers to other "
            "prompts of the batch, not below 0.",
            low=0,
        ),
    ]
    | None = None,
    *,
    params: KtoParams,
) -> Float[Tensor, "rows"]:
    """One minus the utility of an answer: of gaining on the reference, or of losing to it.

    The reference point comes in as `kl` and gets no gradient, so that rows do not depend on each
    other: its mean over mismatched answers is the caller's to take.

    Returns one value per answer, in [0, weight].
    """
    log_ratio = log_probabilities - reference_log_probabilities
    if kl is not None and params.variant == "kto":
        log_ratio = log_ratio - kl
    good = desirable == 1
    missed = torch.sigmoid(params.beta * torch.where(good, -log_ratio, log_ratio))
    desirable_loss, undesirable_loss = (
        weight * missed for weight in (params.desirable_weight, params.undesirable_weight)
    )
    return torch.where(good, desirable_loss, undesirable_loss)
