"""Minimax concave penalty: sparse, without shrinking large weights."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._proximal import cheapest
from lossd.losses.regularization._weights import total


class McpParams(LossParams):
    """Parameters of `mcp`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    gamma: float = Field(
        3.0, gt=1, le=1e6, description="Weights beyond gamma lambda are not moved."
    )


def proximal(
    weights: tuple[Tensor, ...], step: float, params: McpParams
) -> dict[str, tuple[Tensor, ...]]:
    """The least of the penalty and the squared way over twice the step, weight by weight."""
    border, gamma = params.gamma * params.coefficient, params.gamma

    def candidates(size: Tensor) -> list[Tensor]:
        ends = [torch.zeros_like(size), size.clamp(min=border)]
        if step >= gamma:  # concave up to the border
            return ends
        inside = (size - step * params.coefficient) / (1.0 - step / gamma)
        return [*ends, inside.clamp(0.0, border)]

    def cost(size: Tensor) -> Tensor:
        return _penalty(size, params)

    return {
        "weights": tuple(
            cheapest(each.double(), candidates, cost, step).to(each.dtype) for each in weights
        )
    }


@loss(
    formula=r"\sum \lambda |w| - \frac{w^2}{2 \gamma} \text{ up to } |w| = \gamma \lambda, "
    r"\text{ then } \tfrac12 \gamma \lambda^2",
    source="Zhang 2010, Annals of Statistics 38, 894-942, eq. 2.1",
    units="squared weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="As `l1_penalty` at 0, flat far from it; not convex, `l1_penalty` in the "
        "limit of gamma.",
        use="Sparse regression without the bias of the lasso.",
        stability="Summed in float64. The subgradient at 0 is 0.",
        data="Any weights of one scale, since lambda is compared with them.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 1.0},
    ),
)
def mcp(weights: Weights, *, params: McpParams) -> Float[Tensor, ""]:
    """The sum over weights of the penalty; the subgradient at 0 is 0. Zero where lambda is."""
    return total([_penalty(each.double().abs(), params).sum() for each in weights])


def _penalty(size: Tensor, params: McpParams) -> Tensor:
    # Beyond the border the slope is 0, as the clamp's is.
    size = size.clamp(max=params.gamma * params.coefficient)
    return params.coefficient * size - size.square() / (2.0 * params.gamma)
