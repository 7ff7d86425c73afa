"""Direct preference optimisation: learn from pairs of answers without a reward model."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.preference._pairs import (
    ChosenLogProbabilities,
    ChosenTokens,
    ReferenceChosenLogProbabilities,
    ReferenceRejectedLogProbabilities,
    RejectedLogProbabilities,
    RejectedTokens,
    smoothed_logistic,
)

Variant = Literal[
    "sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair",
    "sppo_hard", "apo_zero", "apo_down", "discopop", "sft",
]  # fmt: skip


class DpoParams(LossParams):
    """Parameters of `dpo`."""

    variant: Variant = Field("sigmoid", description="What is paid for a pair.")
    beta: float = Field(
        0.1, gt=0, le=1e4, description="Weight of the log-ratios; tau in IPO, 1 / eta in SPPO."
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        le=1,
        validate_default=True,
        description="Share of pairs that are labelled the wrong way round: sigmoid, sigmoid_norm "
        "(conservative DPO), robust (below 0.5) and exo_pair (above 0, below 1).",
    )
    discopop_tau: float = Field(0.05, gt=0, description="Temperature of the mixture in discopop.")
    f_divergence: Literal["reverse_kl", "forward_kl", "js_divergence"] = Field(
        "reverse_kl",
        description="Divergence from the reference that is implied, in the variants that compare "
        "the two log-ratios: sigmoid, sigmoid_norm, hinge, ipo, exo_pair, robust, discopop.",
    )

    @field_validator("label_smoothing")
    @classmethod
    def _fits_the_variant(cls, share: float, info: Any) -> float:
        variant = info.data.get("variant")
        if variant == "robust" and share >= 0.5:
            raise ValueError("robust needs a label_smoothing below 0.5")
        if variant == "exo_pair" and not 0 < share < 1:
            raise ValueError("exo_pair needs a label_smoothing between 0 and 1")
        return share


def weight_of_pair(
    params: DpoParams,
    reference_chosen_log_probabilities: Float[Tensor, "rows"],
    chosen_tokens: Float[Tensor, "rows"] | None = None,
) -> Tensor:
    """1 per pair; for sft, the tokens of its preferred answer."""
    if params.variant == "sft" and chosen_tokens is not None:
        return chosen_tokens
    return torch.ones_like(reference_chosen_log_probabilities)


@loss(
    formula=r"-\log \sigma(\beta (r_w - r_l)),\quad "
    r"r = \log \pi(y) - \log \pi_{\mathrm{ref}}(y)",
    source="Rafailov et al. 2023, arXiv:2305.18290, eq. 7; hinge: 2305.10425; ipo: 2310.12036, "
    "eq. 17; exo_pair: 2402.00856, eq. 16; nca_pair: 2402.05369; robust: 2403.00409; bco_pair: "
    "2404.04656; sppo_hard: 2405.00675, eq. 4.7; apo: 2408.06266, eq. 7 and 8; discopop: "
    "2406.08414, eq. 5",
    units="nats; squared nats for ipo and sppo_hard",
    weights=weight_of_pair,
    card=Card(
        characteristics="The policy is its own reward model: beta (log pi - log pi_ref).",
        use="Alignment of language models on pairs. sigmoid first; ipo or robust where labels are "
        "near certain or noisy; apo_down where the policy is better than the chosen answers.",
        stability="Stable for any finite log-probability. Log-ratios are sums over tokens, so long "
        "answers saturate it: watch that the chosen answer's own log-ratio does not fall.",
        data="Pairs of answers to one prompt, and log-probabilities under a frozen reference.",
    ),
    example=Example(
        {
            "chosen_log_probabilities": [-12.5, -30.0],
            "rejected_log_probabilities": [-14.0, -28.5],
            "reference_chosen_log_probabilities": [-13.0, -29.0],
            "reference_rejected_log_probabilities": [-13.5, -29.0],
        }
    ),
)
def dpo(
    chosen_log_probabilities: ChosenLogProbabilities,
    rejected_log_probabilities: RejectedLogProbabilities,
    reference_chosen_log_probabilities: ReferenceChosenLogProbabilities,
    reference_rejected_log_probabilities: ReferenceRejectedLogProbabilities,
    chosen_tokens: ChosenTokens | None = None,
    rejected_tokens: RejectedTokens | None = None,
    *,
    params: DpoParams,
) -> Float[Tensor, "rows"]:
    """What a policy pays for its log-ratios of a preferred and of another answer.

    The numbers of tokens divide the log-ratios in ipo and sigmoid_norm (without them ipo is as its
    paper writes it), and weigh the mean of sft. The subgradient at the hinge is 0. discopop needs
    no bound: its exponential is taken together with the weight that makes it vanish.

    Returns one value per pair; nats, or squared nats for ipo and sppo_hard.
    """
    if params.variant == "sft":
        return -chosen_log_probabilities
    chosen = chosen_log_probabilities - reference_chosen_log_probabilities
    rejected = rejected_log_probabilities - reference_rejected_log_probabilities
    if params.variant in _OF_BOTH:
        return _OF_BOTH[params.variant](chosen, rejected, params.beta)
    chosen, rejected = _score(params, chosen), _score(params, rejected)
    if params.variant in ("ipo", "sigmoid_norm"):
        chosen = chosen if chosen_tokens is None else chosen / chosen_tokens
        rejected = rejected if rejected_tokens is None else rejected / rejected_tokens
    return _of_difference(params, chosen - rejected)


def _score(params: DpoParams, log_ratio: Tensor) -> Tensor:
    """The derivative of the f-divergence's f at the ratio."""
    if params.f_divergence == "forward_kl":
        return -torch.expm1(-log_ratio)
    if params.f_divergence == "js_divergence":
        return math.log(2.0) - softplus(-log_ratio)
    return log_ratio


def _of_difference(params: DpoParams, difference: Tensor) -> Tensor:
    margin, share = params.beta * difference, params.label_smoothing
    match params.variant:
        case "hinge":
            return positive_part(1.0 - margin)
        case "ipo":
            return (difference - 0.5 / params.beta).square()
        case "robust":
            flipped = (1.0 - share) * softplus(-margin) - share * softplus(margin)
            return flipped / (1.0 - 2.0 * share)
        case "exo_pair":
            won = torch.sigmoid(margin) * (-softplus(-margin) - math.log1p(-share))
            lost = torch.sigmoid(-margin) * (-softplus(margin) - math.log(share))
            return won + lost
        case "discopop":
            scaled = margin / params.discopop_tau
            logistic = softplus(-margin) * torch.sigmoid(-scaled)
            return logistic + torch.exp(-margin - softplus(-scaled))
    return smoothed_logistic(margin, share)


def _nca_pair(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    other = softplus(beta * chosen) + softplus(beta * rejected)
    return softplus(-beta * chosen) + 0.5 * other


def _sppo_hard(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    return (chosen - 0.5 / beta).square() + (rejected + 0.5 / beta).square()


_OF_BOTH: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "nca_pair": _nca_pair,
    "sppo_hard": _sppo_hard,
    "bco_pair": lambda won, lost, beta: softplus(-beta * won) + softplus(beta * lost),
    "apo_zero": lambda won, lost, beta: torch.sigmoid(-beta * won) + torch.sigmoid(beta * lost),
    "apo_down": lambda won, lost, beta: (
        torch.sigmoid(beta * won) + torch.sigmoid(beta * (lost - won))
    ),
}
