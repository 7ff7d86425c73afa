"""Evidential classification: a Dirichlet distribution of probabilities, in one pass."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Labels
from lossd.losses._ops import at_label, one_hot
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._gamma import digamma


class EvidentialClassificationParams(LossParams):
    """Parameters of `evidential_classification`."""

    fit: Literal["squared", "log", "digamma"] = Field(
        "squared",
        description="What is expected under the Dirichlet distribution: squared: the Brier score "
        "(eq. 5); digamma: cross-entropy (eq. 4); log: minus the logarithm of the mean "
        "probability (eq. 3).",
    )
    regularization: float = Field(
        0.0,
        ge=0,
        description="Weight of the divergence from no evidence, the right class left out. The "
        "paper lets it rise to 1 over the first ten epochs.",
    )


@loss(
    formula=r"\sum_k (t_k - \hat p_k)^2 + \frac{\hat p_k (1 - \hat p_k)}{S + 1} + \lambda "
    r"\mathrm{KL}(\mathrm{Dir}(\tilde \alpha) \| \mathrm{Dir}(1)),\quad \alpha = e + 1,\; "
    r"\tilde \alpha = t + (1 - t) \alpha,\; \hat p = \frac{\alpha}{S}",
    source="Sensoy, Kaplan and Kandemir 2018, arXiv:1806.01768, eqs. 3 to 5 and section 4",
    units="none with squared, else nats",
    topics=("uncertainty",),
    card=Card(
        characteristics="The network answers evidence per class, not probabilities: little of it "
        "everywhere says that it does not know.",
        use="Classification that may abstain; inputs unlike any seen before.",
        stability="Gamma functions in float64. Evidence of 0 is legal; from relu, classes without "
        "evidence get no gradient: softplus or exp are gentler.",
        data="Single labels; the divergence needs a slow start, or nothing is learned.",
    ),
    example=Example(
        {"evidence": [[2.0, 0.5, 0.0], [0.1, 1.2, 0.3]], "labels": [0, 2]},
        {"regularization": 0.1},
    ),
)
def evidential_classification(
    evidence: Annotated[
        Float[Tensor, "rows classes *spatial"],
        Arg(doc="Evidence of each class, >= 0; not logits.", gradient=True, low=0),
    ],
    labels: Labels,
    *,
    params: EvidentialClassificationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Expected loss under the Dirichlet distribution, and the divergence of what misleads.

    Returns one value per item, >= 0.
    """
    alpha = evidence.double() + 1.0
    total = alpha.sum(1)
    target = one_hot(labels, alpha)
    if params.fit == "squared":
        p = alpha / total.unsqueeze(1)
        spread = p * (1.0 - p) / (total + 1.0).unsqueeze(1)
        value = ((target - p).square() + spread).sum(1)
    else:
        function = torch.log if params.fit == "log" else digamma
        value = function(total) - function(at_label(alpha, labels))
    if params.regularization:
        value = value + params.regularization * _divergence(1.0 + (1.0 - target) * (alpha - 1.0))
    return value.to(evidence.dtype)


def _divergence(alpha: Tensor) -> Tensor:
    """Of a Dirichlet distribution from the uniform one."""
    total, classes = alpha.sum(1), alpha.new_tensor(float(alpha.shape[1]))
    constant = torch.lgamma(total) - torch.lgamma(classes) - torch.lgamma(alpha).sum(1)
    slopes = digamma(alpha) - digamma(total).unsqueeze(1)
    return constant + ((alpha - 1.0) * slopes).sum(1)
