"""Value loss of PPO: squared error of the return, clipped around the old estimate."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.reinforcement._policy import Mask, masked, weight_of_mask


class PpoValueParams(LossParams):
    """Parameters of `ppo_value`."""

    clip: float | None = Field(
        0.2, gt=0, description="How far from the old value a new one counts; null is no clipping."
    )
    half: bool = Field(True, description="Whether the square is halved.")


def weight_of_value(
    params: PpoValueParams,
    returns: Float[Tensor, "rows *rest"],
    mask: Int[Tensor, "rows *rest"] | None = None,
) -> Tensor:
    """1 per item that counts."""
    return weight_of_mask(returns, mask)


@loss(
    formula=r"\tfrac12 \max\left((V - R)^2, "
    r"(\operatorname{clip}(V, V_{\mathrm{old}} \pm \epsilon) - R)^2\right)",
    source="Schulman et al. 2017, arXiv:1707.06347, eq. 9, with the clipping of OpenAI Baselines "
    "ppo2; Engstrom et al. 2020, arXiv:2005.12729, section 2",
    units="squared units of the return",
    weights=weight_of_value,
    card=Card(
        characteristics="The larger of two squares: no gradient for a value that moved far enough.",
        use="The critic of PPO; null clip is the plain squared error, often as good.",
        stability="Quadratic: scale the returns. The clip is in units of the return.",
        data="Returns or generalised advantages plus old values.",
    ),
    example=Example(
        {"values": [1.0, 0.2, -0.5], "old_values": [0.9, 0.5, -0.4], "returns": [1.5, 0.1, 0.3]}
    ),
)
def ppo_value(
    values: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Estimates of the return.", gradient=True)
    ],
    old_values: Annotated[Float[Tensor, "rows *rest"], Arg(doc="Estimates before the update.")],
    returns: Annotated[Float[Tensor, "rows *rest"], Arg(doc="Returns that were seen.")],
    mask: Mask | None = None,
    *,
    params: PpoValueParams,
) -> Float[Tensor, "rows *rest"]:
    """Squared error of a value, or of the same value clipped if that is larger.

    A clipped value has no gradient, nor has one at the edge of the clip.

    Returns one value per item, in squared units of the return; 0 where masked.
    """
    value = (values - returns).square()
    if params.clip is not None:
        moved = values - old_values
        near = old_values + moved.detach().clamp(-params.clip, params.clip)
        clipped = (near - returns).square()
        value = torch.where((moved.abs() >= params.clip) & (clipped >= value), clipped, value)
    return masked(0.5 * value if params.half else value, mask)
