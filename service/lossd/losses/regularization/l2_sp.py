"""L2-SP: keeps weights near where fine-tuning started."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Weights
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regularization._weights import Start, total


class L2SpParams(LossParams):
    """Parameters of `l2_sp`."""

    alpha: float = Field(0.1, ge=0, description="Strength of the pull to the start.")


def proximal(
    weights: tuple[Tensor, ...], start: tuple[Tensor, ...], step: float, params: L2SpParams
) -> dict[str, tuple[Tensor, ...]]:
    """Each weight moved to its start, by a share of step alpha over 1 + step alpha."""
    share = step * params.alpha / (1.0 + step * params.alpha)
    pairs = zip(weights, start, strict=True)
    return {"weights": tuple(each + share * (begun - each) for each, begun in pairs)}


@loss(
    formula=r"\tfrac{\alpha}{2} \|w - w^0\|_2^2",
    source="Li, Grandvalet and Davoine 2018, arXiv:1802.01483, eq. 2",
    units="alpha times squared weight units",
    coupling="whole",
    reduction="sum",
    proximal=proximal,
    card=Card(
        characteristics="Strongly convex, smooth; least at the pretrained weights.",
        use="Fine-tuning, beside `l2_penalty` of the layers that are new.",
        stability="Squared in the weights' precision, summed in float64.",
        data="Weights, and their pretrained values by the same names.",
    ),
    example=Example(
        {"weights": {"a": [0.5, -1.0], "b": 2.0}, "start": {"a": [0.25, -1.0], "b": 1.5}}
    ),
)
def l2_sp(weights: Weights, start: Start, *, params: L2SpParams) -> Float[Tensor, ""]:
    """Half of alpha times the squared distance of the weights from their start."""
    pairs = zip(weights, start, strict=True)
    squares = [(each - begun).square().sum(dtype=torch.float64) for each, begun in pairs]
    return 0.5 * params.alpha * total(squares)
