"""What losses of several labels per row share."""

import torch
from torch import Tensor


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
