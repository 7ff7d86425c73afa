"""Generalized Jensen-Shannon divergence, as in on-policy distillation."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import kl_divergence_of
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits, mixed_divergence


class GeneralizedJensenShannonParams(LossParams):
    """Parameters of `generalized_jensen_shannon`."""

    beta: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of p in the mixture. 0 is KL(p || q) and 1 is KL(q || p) by "
        "convention, where the formula itself would give 0.",
    )


@loss(
    formula=r"\beta \mathrm{KL}(p \| m) + (1 - \beta) \mathrm{KL}(q \| m),\quad "
    r"m = \beta p + (1 - \beta) q",
    source="Agarwal et al. 2024, arXiv:2306.13649, eq. 1",
    units="nats",
    card=Card(
        characteristics="0 only for equal distributions. A small beta behaves as the divergence "
        "that covers all modes of p, a large one as the one that settles on one.",
        use="Distillation of language models (GKD): p the teacher, q the student.",
        stability="Finite for any beta within (0, 1). Value and gradient shrink as beta (1 - "
        "beta), so the ends 0 and 1 are no limits of what is near them.",
        data="Two distributions over the same classes; a row per token.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}, {"beta": 0.1}),
)
def generalized_jensen_shannon(
    p_logits: PLogits, q_logits: QLogits, *, params: GeneralizedJensenShannonParams
) -> Float[Tensor, "rows *spatial"]:
    """Weighted divergence of two distributions from their weighted mixture, one value per item.

    With beta 0 or 1 it is +inf where the divergence is; such a term has no gradient.
    """
    log_p, log_q = torch.log_softmax(p_logits, 1), torch.log_softmax(q_logits, 1)
    if params.beta == 0:
        return kl_divergence_of(log_p, log_q)
    if params.beta == 1:
        return kl_divergence_of(log_q, log_p)
    return mixed_divergence(log_p, log_q, params.beta)
