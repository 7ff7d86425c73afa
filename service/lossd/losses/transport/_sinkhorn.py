"""Entropic optimal transport by Sinkhorn's iterations, in logarithms."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

SourceWeights = Annotated[
    Float[Tensor, "rows sources"],
    Arg(doc="Mass of each source; equal if absent.", low=0, high=1, sums_to_one="sources"),
]
TargetWeights = Annotated[
    Float[Tensor, "rows targets"],
    Arg(doc="Mass of each target; equal if absent.", low=0, high=1, sums_to_one="targets"),
]


def masses(weights: Tensor | None, costs: Tensor, axis: int) -> Tensor:
    """The weights of sources (axis 1) or targets (axis 2), or equal ones."""
    if weights is not None:
        return weights.to(costs.dtype)
    shape = (costs.shape[0], costs.shape[axis])
    return costs.new_full(shape, 1.0 / max(1, costs.shape[axis]))


def transport_cost(
    costs: Tensor, sources: Tensor, targets: Tensor, regularization: float, iterations: int
) -> Tensor:
    """min over plans P of <P, costs> + regularization * KL(P || sources x targets), per row.

    By the dual: its potentials are constants of the gradient, which is the plan (envelope
    theorem), exact once the iterations have converged.
    """
    if not costs.shape[1] or not costs.shape[2]:
        return costs.sum((1, 2))
    log_a, log_b = sources.log().unsqueeze(2), targets.log().unsqueeze(1)
    scaled = costs.detach() / regularization
    g = torch.zeros_like(log_b)
    f = torch.zeros_like(log_a)
    for _ in range(iterations):
        f = -torch.logsumexp(log_b + g - scaled, 2, keepdim=True)
        g = -torch.logsumexp(log_a + f - scaled, 1, keepdim=True)
    log_density = f + g - costs / regularization
    plan = torch.exp(log_a + log_b + log_density)
    dual = (sources * f.squeeze(2)).sum(1) + (targets * g.squeeze(1)).sum(1)
    return regularization * (dual + 1.0 - plan.sum((1, 2)))
