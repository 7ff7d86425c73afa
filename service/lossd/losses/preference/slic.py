"""Sequence likelihood calibration: a margin between likelihoods, and a term that holds it."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.preference._pairs import ChosenLogProbabilities, RejectedLogProbabilities


class SlicParams(LossParams):
    """Parameters of `slic`."""

    margin: float = Field(1.0, ge=0, description="delta, in nats.")
    regularization: float = Field(
        0.5, ge=0, description="lambda: weight of the target's negative log-likelihood."
    )


@loss(
    formula=r"\max(0, \delta - \ell_w + \ell_l) - \lambda\, \ell_{\mathrm{target}}",
    source="Zhao et al. 2023, arXiv:2305.10425, eq. 1",
    units="nats",
    card=Card(
        characteristics="A pair counts until it is ahead by the margin, then not at all.",
        use="Calibrating a fine-tuned sequence model on pairs; targets are its fine-tuning data.",
        stability="Linear in log-probabilities; the gradient does not vanish on bad pairs.",
        data="Pairs, and a target sequence for each prompt.",
    ),
    example=Example(
        {
            "chosen_log_probabilities": [-12.0, -30.0],
            "rejected_log_probabilities": [-14.0, -28.0],
            "target_log_probabilities": [-11.0, -27.0],
        }
    ),
)
def slic(
    chosen_log_probabilities: ChosenLogProbabilities,
    rejected_log_probabilities: RejectedLogProbabilities,
    target_log_probabilities: Annotated[
        Float[Tensor, "rows"],
        Arg(
            doc="Log-probability of the target answer; no such term if absent.",
            gradient=True,
            high=0,
        ),
    ]
    | None = None,
    *,
    params: SlicParams,
) -> Float[Tensor, "rows"]:
    """Hinge on the difference of two log-probabilities, plus the likelihood of a target.

    The subgradient at the margin is 0.

    Returns one value per pair, in nats, >= 0.
    """
    difference = chosen_log_probabilities - rejected_log_probabilities
    value = positive_part(params.margin - difference)
    if target_log_probabilities is None:
        return value
    return value - params.regularization * target_log_probabilities
