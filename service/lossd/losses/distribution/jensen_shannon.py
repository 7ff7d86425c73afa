"""Jensen-Shannon divergence: how far two distributions are from their mean."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits, mixed_divergence


class JensenShannonParams(LossParams):
    """`jensen_shannon` has no parameters."""


@loss(
    formula=r"\frac{1}{2} \mathrm{KL}(p \| m) + \frac{1}{2} \mathrm{KL}(q \| m),\quad "
    r"m = \frac{p + q}{2}",
    source="Lin 1991, IEEE Transactions on Information Theory 37, 145-151, eq. 4.1",
    units="nats",
    card=Card(
        characteristics="Symmetric, 0 only for equal distributions, at most log 2 however far "
        "apart; its square root is a distance.",
        use="Consistency of two views, comparison of distributions whose supports may differ.",
        stability="Finite where kl_divergence is not. Far apart the gradient vanishes.",
        data="Two distributions over the same classes.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}),
)
def jensen_shannon(
    p_logits: PLogits, q_logits: QLogits, *, params: JensenShannonParams
) -> Float[Tensor, "rows *spatial"]:
    """Mean divergence of two distributions from their mixture: one value per item, in [0, log 2].

    Its square root is a distance. Terms of probability 0 are 0 and have no gradient.
    """
    return mixed_divergence(torch.log_softmax(p_logits, 1), torch.log_softmax(q_logits, 1), 0.5)
