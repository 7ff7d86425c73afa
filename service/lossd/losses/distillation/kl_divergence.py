"""Kullback-Leibler divergence of two distributions over classes."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Logits, LogProbabilities
from lossd.losses._ops import kl_divergence_of, log_softmax
from lossd.losses._spec import Card, Example, LossParams


class KlDivergenceParams(LossParams):
    """Parameters of `kl_divergence`."""

    direction: Literal["forward", "reverse"] = Field(
        "forward", description="forward: KL(p || q); reverse: KL(q || p)."
    )


@loss(
    formula=r"\sum_k p_k (\log p_k - \log q_k)",
    source="Kullback and Leibler 1951, Annals of Mathematical Statistics 22, 79-86, eq. 2.4",
    units="nats",
    exactly_one_of=(("p_logits", "p_log_probabilities"), ("q_logits", "q_log_probabilities")),
    card=Card(
        characteristics="0 only for equal distributions, not symmetric, unbounded.",
        use="Distillation, consistency, policies: p the teacher and q the student covers all "
        "modes of p; reversed it settles on one.",
        stability="In logarithms throughout; 0 log 0 is 0. +inf where q = 0 < p, and that term "
        "has no gradient.",
        data="Two distributions over the same classes.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}),
)
def kl_divergence(
    p_logits: Logits | None = None,
    p_log_probabilities: LogProbabilities | None = None,
    q_logits: Logits | None = None,
    q_log_probabilities: LogProbabilities | None = None,
    *,
    params: KlDivergenceParams,
) -> Float[Tensor, "rows *spatial"]:
    """Expected log-ratio of two distributions, under the first: KL(p || q).

    torch's kl_div takes the model first and its mean divides by elements; here p comes first, as
    it is written, and the mean divides by items. Both sides get a gradient; `wrt` leaves one out.
    Log-probabilities are taken as they are, not normalised again.

    Returns one value per item, in nats.
    """
    log_p = _log_probabilities(p_logits, p_log_probabilities)
    log_q = _log_probabilities(q_logits, q_log_probabilities)
    if params.direction == "reverse":
        log_p, log_q = log_q, log_p
    return kl_divergence_of(log_p, log_q)


def _log_probabilities(logits: Tensor | None, log_probabilities: Tensor | None) -> Tensor:
    if logits is not None:
        return log_softmax(logits)
    assert log_probabilities is not None
    return log_probabilities
