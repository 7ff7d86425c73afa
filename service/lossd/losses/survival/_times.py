"""Inputs that losses of survival times share."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._spec import Arg

Events = Annotated[
    Int[Tensor, "rows"],
    Arg(doc="1: the event was seen; 0: the row was censored before it.", values=(0, 1)),
]
Intervals = Annotated[
    Int[Tensor, "rows"],
    Arg(doc="Interval of the event or of the censoring.", index_of="intervals"),
]
IntervalLogits = Annotated[
    Float[Tensor, "rows intervals"], Arg(doc="Raw score of each interval.", gradient=True)
]
