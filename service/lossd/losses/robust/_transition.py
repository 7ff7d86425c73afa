"""The matrix that says how labels are confused."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

Transition = Annotated[
    Float[Tensor, "classes classes"],
    Arg(
        doc="Probability of observing the second class as label where the first is true.",
        low=0,
        high=1,
        sums_to_one="classes",
    ),
]
