"""Soft dynamic time warping: two series compared along all their alignments."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.sequence._paths import NEVER


class SoftDtwParams(LossParams):
    """Parameters of `soft_dtw`."""

    gamma: float = Field(
        1.0, gt=0, description="Softness of the minimum, in squared units of the series."
    )
    divergence: bool = Field(
        False,
        description="Whether half of each series' value with itself is taken off, so that equal "
        "series give 0.",
    )


@loss(
    formula=r"-\gamma \log \sum_{A} e^{-\langle A, \Delta(x, y) \rangle / \gamma},\quad "
    r"\Delta_{ij} = \|x_i - y_j\|^2",
    source="Cuturi and Blondel 2017, arXiv:1703.01541, eq. 2 and algorithm 1; divergence: Blondel "
    "et al. 2020, arXiv:2010.08354, eq. 8",
    units="squared units of the series",
    matrices=(("prediction_time", "target_time"),),
    card=Card(
        characteristics="Forgives shifts and stretches in time; falls to DTW as gamma does.",
        use="Forecasts and motion whose shape matters more than its timing.",
        stability="In logarithms throughout. Without the divergence it is negative for like series "
        "and its minimum is not at equality.",
        data="Series of any two lengths, in one unit; scale the features.",
    ),
    example=Example(
        {
            "prediction": [[[0.0], [1.0], [2.0]]],
            "target": [[[0.5], [2.0]]],
        }
    ),
)
def soft_dtw(
    prediction: Annotated[
        Float[Tensor, "rows prediction_time features"],
        Arg(doc="Predicted series.", gradient=True),
    ],
    target: Annotated[
        Float[Tensor, "rows target_time features"], Arg(doc="True series.", gradient=True)
    ],
    *,
    params: SoftDtwParams,
) -> Float[Tensor, "rows"]:
    """Soft minimum, over alignments, of the squared distances along them.

    Returns one value per row, in squared units of the series; 0 where a series is empty.
    """
    if not prediction.shape[1] or not target.shape[1]:
        return prediction.sum((1, 2)) * 0.0 + target.sum((1, 2)) * 0.0
    value = _soft_minimum(prediction, target, params.gamma)
    if params.divergence:
        within = [_soft_minimum(x, x, params.gamma) for x in (prediction, target)]
        value = value - 0.5 * (within[0] + within[1])
    return value


def _soft_minimum(left: Tensor, right: Tensor, gamma: float) -> Tensor:
    """By diagonals: entry i of diagonal n is where step i of one meets step n - i of the other."""
    gain = -(left.unsqueeze(2) - right.unsqueeze(1)).square().sum(3) / gamma
    count, other = gain.shape[1:]
    step = torch.arange(count, device=gain.device)
    nothing = gain.new_full((len(gain), count), NEVER)
    before, last = nothing, nothing
    for n in range(count + other - 1):
        place = n - step
        if n == 0:
            best = nothing.masked_fill(step == 0, 0.0)
        else:
            best = log_sum_exp(torch.stack([last, _one_on(last), _one_on(before)]), 0)
        here = best + gain[:, step, place.clamp(0, other - 1)]
        here = here.masked_fill((place < 0) | (place >= other), NEVER)
        before, last = last, here
    return -gamma * last[:, -1]


def _one_on(x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (1, 0), value=NEVER)[:, :-1]
