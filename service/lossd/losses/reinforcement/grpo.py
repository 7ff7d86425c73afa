"""Group relative policy optimisation and its kin: clipped policy gradients of tokens."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._policy import (
    TokenMask,
    clipped_surrogate,
    masked,
    weight_of_mask,
)

Denominator = Literal["sequence_mean", "tokens", "sequences", "maximal_tokens"]


class GrpoParams(LossParams):
    """Parameters of `grpo`."""

    surrogate: Literal["clip", "cispo", "sapo"] = Field(
        "clip",
        description="clip: of PPO; cispo: the clipped ratio as a constant weight of the "
        "log-probability; sapo: a soft gate instead of a clip.",
    )
    importance_level: Literal["token", "sequence"] = Field(
        "token", description="Ratio of each token, or of the answer per token (GSPO)."
    )
    epsilon_low: float = Field(0.2, ge=0, le=1, description="How far below 1 a ratio still counts.")
    epsilon_high: float = Field(
        0.2,
        ge=0,
        description="How far above 1 a ratio still counts; in cispo the largest ratio itself.",
    )
    delta: float | None = Field(
        None, gt=1, description="Largest ratio where the advantage is negative; null is no bound."
    )
    kl_weight: float = Field(0.0, ge=0, description="Weight of the k3 estimate; beta of the paper.")
    sapo_temperature_positive: float = Field(
        1.0, gt=0, description="Of the gate of sapo where the advantage is positive."
    )
    sapo_temperature_negative: float = Field(
        1.05, gt=0, description="Of the gate of sapo where it is not."
    )
    denominator: Denominator = Field(
        "tokens",
        description="What a mean divides by. sequence_mean: mean of every answer's mean (GRPO, "
        "GSPO, SAPO); tokens: all tokens (DAPO, BNPO, CISPO); sequences: answers, of whose tokens "
        "the sum is taken (LUSPO); maximal_tokens: answers times max_tokens (Dr. GRPO).",
    )
    max_tokens: int | None = Field(
        None, ge=1, description="The longest answer that could be; null: the size of the axis."
    )


def weight_of_token(
    params: GrpoParams,
    old_log_probabilities: Float[Tensor, "rows tokens"],
    mask: Int[Tensor, "rows tokens"] | None = None,
) -> Tensor:
    """What a token adds to the denominator; an answer's tokens add 1 where answers are counted."""
    weight = weight_of_mask(old_log_probabilities, mask)
    if params.denominator == "tokens":
        return weight
    # An answer without tokens counts too.
    share = torch.full_like(weight, 1.0 / max(1, weight.shape[1]))
    if params.denominator == "maximal_tokens":
        return share * (params.max_tokens or weight.shape[1])
    return share


@loss(
    formula=r"-\min(\rho_t A, \operatorname{clip}(\rho_t, 1 - \epsilon_l, 1 + \epsilon_h) A) + "
    r"\beta (e^{d_t} - 1 - d_t),\quad d_t = \log \pi_{\mathrm{ref},t} - \log \pi_t",
    source="Shao et al. 2024, arXiv:2402.03300, eq. 3; Dr. GRPO: 2503.20783; DAPO: 2503.14476; "
    "GSPO: 2507.18071; CISPO: 2506.13585; SAPO: 2511.20347; LUSPO: 2602.05261; delta: 2505.07291",
    units="unit of the advantage",
    weights=weight_of_token,
    card=Card(
        characteristics="One loss; the methods differ in the ratio, the gate and the denominator.",
        use="Reinforcement learning of language models with rewards that can be checked. GRPO is "
        "sequence_mean with epsilons of 0.2; DAPO is tokens with epsilon_high 0.28; GSPO is "
        "importance_level sequence with epsilons of 3e-4 and 4e-4.",
        stability="Token ratios of long answers drift; sequence ratios need far smaller epsilons. "
        "cispo keeps a gradient for every token.",
        data="Groups of answers to one prompt, advantages relative to the group.",
    ),
    example=Example(
        {
            "log_probabilities": [[-1.0, -0.5, -0.25], [-2.0, -0.75, -1.0]],
            "old_log_probabilities": [[-1.1, -0.5, -0.5], [-1.5, -0.8, -1.0]],
            "advantages": [1.0, -1.0],
            "mask": [[1, 1, 1], [1, 1, 0]],
        },
        {"denominator": "sequence_mean"},
    ),
)
def grpo(
    log_probabilities: Annotated[
        Float[Tensor, "rows tokens"],
        Arg(doc="Log-probability of each token under the policy.", gradient=True),
    ],
    old_log_probabilities: Annotated[
        Float[Tensor, "rows tokens"], Arg(doc="The same under the policy that wrote the answer.")
    ],
    advantages: Annotated[Float[Tensor, "rows"], Arg(doc="Advantage of each answer.")],
    mask: TokenMask | None = None,
    reference_log_probabilities: Annotated[
        Float[Tensor, "rows tokens"],
        Arg(doc="The same under a reference policy; kl_weight is of no effect without it."),
    ]
    | None = None,
    *,
    params: GrpoParams,
) -> Float[Tensor, "rows tokens"]:
    """What each token pays: minus its clipped gain, plus its share of the divergence.

    Under sequence_mean the values are already divided by the answer's tokens, so that the sum is
    that of the answers' means. For tokens counted over several calls (the global batch of DAPO)
    take the sum, and divide by their number. From the edge of the clip on the gradient is 0.

    Returns one value per token, in units of the advantage; 0 where masked.
    """
    log_ratio = masked(log_probabilities - old_log_probabilities, mask)
    tokens = weight_of_mask(old_log_probabilities, mask).sum(1, keepdim=True).clamp(min=1.0)
    tokens = tokens.to(log_ratio.dtype)
    if params.importance_level == "sequence":
        log_ratio = (log_ratio.sum(1, keepdim=True) / tokens).expand_as(log_probabilities)
    advantage = advantages.unsqueeze(1).expand_as(log_probabilities)
    value = _surrogate(params, log_ratio, advantage, log_probabilities)
    if reference_log_probabilities is not None and params.kl_weight:
        difference = masked(reference_log_probabilities - log_probabilities, mask)
        value = value + params.kl_weight * (torch.expm1(difference) - difference)
    if params.denominator == "sequence_mean":
        value = value / tokens
    return masked(value, mask)


def _surrogate(params: GrpoParams, log_ratio: Tensor, advantage: Tensor, log_p: Tensor) -> Tensor:
    if params.surrogate == "cispo":
        weight = torch.exp(log_ratio.detach()).clamp(max=params.epsilon_high)
        return -weight * advantage * log_p
    if params.surrogate == "sapo":
        return (
            -torch.where(
                advantage > 0,
                _soft_gate(log_ratio, params.sapo_temperature_positive),
                _soft_gate(log_ratio, params.sapo_temperature_negative),
            )
            * advantage
        )
    clips = (params.epsilon_low, params.epsilon_high, params.delta)
    return -clipped_surrogate(log_ratio, advantage, *clips)


def _soft_gate(log_ratio: Tensor, temperature: float) -> Tensor:
    """Its slope has long been 0 where the exponential would overflow."""
    ahead = torch.expm1(log_ratio.clamp(max=80.0))
    return torch.sigmoid(temperature * ahead) * (4.0 / temperature)
