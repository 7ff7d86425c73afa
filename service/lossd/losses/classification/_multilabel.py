"""What losses of several labels per row share."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._spec import Arg

RowLogits = Annotated[
    Float[Tensor, "rows classes"], Arg(doc="Raw score of each class.", gradient=True)
]
MultiLabels = Annotated[
    Int[Tensor, "rows classes"], Arg(doc="1: the class is a label of the row.", values=(0, 1))
]


def logsumexp_where(x: Tensor, counts: Tensor, dim: int) -> Tensor:
    """Log of the sum of e^x over where `counts` is true; -inf, without a gradient, where nowhere.

    The gradient of torch's own is NaN where everything is masked, and loses digits of large x.
    """
    if not x.numel():
        return x.sum(dim)
    nowhere = ~counts.any(dim, keepdim=True)
    masked = x.masked_fill(~counts, -torch.inf).masked_fill(nowhere, 0.0)
    top = masked.detach().amax(dim, keepdim=True)
    total = (masked - top).exp().sum(dim, keepdim=True).log() + top
    return total.masked_fill(nowhere, -torch.inf).squeeze(dim)
