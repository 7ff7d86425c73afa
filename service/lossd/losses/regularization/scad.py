"""SCAD: sparse, without shrinking large weights."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._proximal import cheapest
from lossd.losses.regularization._weights import total


class ScadParams(LossParams):
    """Parameters of `scad`."""

    coefficient: float = Field(1.0, ge=0, description="Lambda, the strength of the penalty.")
    a: float = Field(3.7, gt=2, le=1e6, description="Weights beyond a lambda are not moved.")


def proximal(
    weights: tuple[Tensor, ...], step: float, params: ScadParams
) -> dict[str, tuple[Tensor, ...]]:
    """The least of the penalty and the squared way over twice the step, weight by weight."""
    strength, a = params.coefficient, params.a

    def candidates(size: Tensor) -> list[Tensor]:
        near = (size - step * strength).clamp(0.0, strength)
        found = [torch.zeros_like(size), near, size.clamp(min=a * strength)]
        if step >= a - 1.0:  # concave between both borders
            return found
        between = ((a - 1.0) * size - step * a * strength) / (a - 1.0 - step)
        return [*found, between.clamp(strength, a * strength)]

    def cost(size: Tensor) -> Tensor:
        return _penalty(size, params)

    return {
        "weights": tuple(
            cheapest(each.double(), candidates, cost, step).to(each.dtype) for each in weights
        )
    }


@loss(
    formula=r"\sum \lambda |w| \text{ up to } \lambda, \text{ then } \frac{2 a \lambda |w| - w^2 "
    r"- \lambda^2}{2 (a - 1)} \text{ up to } a \lambda, \text{ then } \tfrac12 (a + 1) "
    r"\lambda^2",
    source="Fan and Li 2001, Journal of the American Statistical Association 96, 1348-1360, eq. "
    "2.7 and 2.8",
    units="squared weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="`l1_penalty` near 0, flat far from it, a parabola between; not convex.",
        use="Sparse regression without the bias of the lasso.",
        stability="Summed in float64. The subgradient at 0 is 0.",
        data="Any weights of one scale, since lambda is compared with them.",
    ),
    example=Example(
        {"weights": {"layer": [[0.5, -1.0], [0.25, 2.0]], "head": [2.0, 0.0]}},
        {"coefficient": 1.0},
    ),
)
def scad(weights: Weights, *, params: ScadParams) -> Float[Tensor, ""]:
    """The sum of smoothly clipped absolute deviations; the subgradient at 0 is 0."""
    return total([_penalty(each.double().abs(), params).sum() for each in weights])


def _penalty(size: Tensor, params: ScadParams) -> Tensor:
    strength, a = params.coefficient, params.a
    size = size.clamp(max=a * strength)
    beyond = torch.relu(size - strength)
    return strength * size - beyond.square() / (2.0 * (a - 1.0))
