"""Inputs that losses of values share."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

Rewards = Annotated[Float[Tensor, "rows"], Arg(doc="Reward of each step.")]
Discounts = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Discount of what follows each step; 0 where the episode ends.", low=0, high=1),
]
