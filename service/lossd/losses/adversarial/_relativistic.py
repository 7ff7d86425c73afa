"""What relativistic games share: the cost of a lead of real over fake."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Arg, LossParams

RealScores = Annotated[
    Float[Tensor, "rows"], Arg(doc="The critic's scores of real items.", gradient=True)
]
FakeScores = Annotated[
    Float[Tensor, "rows"], Arg(doc="The critic's scores of generated items.", gradient=True)
]
EXAMPLE: dict[str, Any] = {"real_scores": [1.5, 0.2, 0.9], "fake_scores": [-0.7, 0.4, 0.1]}


class RelativisticParams(LossParams):
    """Parameters of relativistic games."""

    kind: Literal["logistic", "hinge", "least_squares"] = Field(
        "logistic", description="What a lead x costs: log(1 + e^-x), max(0, 1 - x), (x - 1)^2."
    )
    player: Literal["discriminator", "generator"] = Field(
        "discriminator", description="Whose loss it is; the generator wants fakes to lead."
    )


def cost(lead: Tensor, kind: str) -> Tensor:
    """What a lead costs the one who wants it; the subgradient at a hinge is 0."""
    if kind == "hinge":
        return positive_part(1.0 - lead)
    return torch.square(lead - 1.0) if kind == "least_squares" else softplus(-lead)
