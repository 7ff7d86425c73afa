"""Self-paced loss: values of another loss, of which the large ones count less, or not at all."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams

Losses = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Values of any loss, as its rows are answered.", gradient=True),
]


class SelfPacedParams(LossParams):
    """Parameters of `self_paced`."""

    threshold: float = Field(
        1.0,
        ge=1e-30,
        le=1e30,
        description="Lambda, in the losses' unit: larger ones teach nothing. It grows in training.",
    )
    regularizer: Literal["hard", "linear"] = Field(
        "hard",
        description="hard: all or nothing, which truncates the loss; linear: an item weighs "
        "1 - loss / lambda.",
    )


@loss(
    formula=r"\int_0^{\ell} v(x)\,dx,\quad v_{\mathrm{hard}}(x) = [x < \lambda],\quad "
    r"v_{\mathrm{linear}}(x) = \min(1, \max(0, 1 - x / \lambda))",
    source="Kumar, Packer and Koller 2010, NIPS 23, 1189-1197, eq. 2; its latent objective: Meng "
    "and Zhao 2015, arXiv:1511.06049",
    units="those of the losses",
    card=Card(
        characteristics="Grows no more above the threshold, so it is robust and not convex; its "
        "gradient is that of minimising over the items' weights and the model at once.",
        use="Curricula: begin with a small threshold, and raise it from epoch to epoch. Send the "
        "gradient as the cotangent of the call that the losses are of.",
        stability="Nothing is learned where every loss is above the threshold. The subgradient at "
        "the threshold is 0.",
        data="Noisy labels or outliers; losses that are at least 0, smaller ones count in full.",
    ),
    example=Example({"losses": [0.2, 0.7, 3.0]}, {"regularizer": "linear"}),
)
def self_paced(losses: Losses, *, params: SelfPacedParams) -> Float[Tensor, "rows *rest"]:
    """What losses come to when each is weighed by how easy it is, one value per loss.

    The derivative is the weight that self-paced learning gives the item; 0 from the threshold on.
    """
    # Not a minimum: its subgradient at the threshold is not 0.
    capped = torch.where(losses < params.threshold, losses, params.threshold)
    if params.regularizer == "hard":
        return capped
    easy = capped.masked_fill(losses < 0, 0.0)  # the square of what is below must not overflow
    curved = easy * (1.0 - easy / (2.0 * params.threshold))
    return torch.where(losses < 0, losses, curved)
