"""Distance maps, as inputs of losses of outlines."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

SignedDistance = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Distance of each pixel to the outline of a true region, negative inside, in pixels."),
]
TargetDistance = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Distance of each pixel to the outline of a true region, in pixels.", low=0),
]
PredictedDistance = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Distance of each pixel to the outline of a predicted region, in pixels.", low=0),
]
