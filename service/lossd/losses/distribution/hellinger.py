"""Hellinger distance of two distributions."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits


class HellingerParams(LossParams):
    """Parameters of `hellinger`."""

    squared: bool = Field(False, description="Whether to answer the square of the distance.")


@loss(
    formula=r"\sqrt{\frac{1}{2} \sum_k (\sqrt{p_k} - \sqrt{q_k})^2}",
    source="Hellinger 1909; Le Cam 1986, Asymptotic Methods in Statistical Decision Theory, 4.2",
    units="none, in [0, 1]",
    card=Card(
        characteristics="A distance, symmetric and bounded by 1; between total variation and "
        "its root.",
        use="Comparison of distributions where small probabilities count more than in "
        "total_variation and less than in kl_divergence.",
        stability="Roots are taken of logarithms, so rare classes keep their digits. The gradient "
        "of the distance does not shrink near equality, that of the square does.",
        data="Two distributions over the same classes.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}),
)
def hellinger(
    p_logits: PLogits, q_logits: QLogits, *, params: HellingerParams
) -> Float[Tensor, "rows *spatial"]:
    """Distance of the roots of two distributions, over the root of 2: one value per item.

    The subgradient at equality is 0.
    """
    roots = [torch.exp(0.5 * torch.log_softmax(x, 1)) for x in (p_logits, q_logits)]
    square = 0.5 * (roots[0] - roots[1]).square().sum(1)
    return square if params.squared else power(square, 0.5)
