"""The Lovász extension of the Jaccard loss: errors weighed by what each adds, largest first."""

import torch
from torch import Tensor


def lovasz_extension(errors: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
    """Sum over the last axis of errors >= 0 times what each adds to the Jaccard loss.

    `truth` and `counts` are 1 or 0: the region, and what counts at all. Equal errors keep their
    order, so the gradient is the same every time. Values are in float64.
    """
    # What does not count comes last, where it changes nothing before it.
    ranked = errors.detach().masked_fill(counts == 0, -torch.inf)
    order = torch.argsort(ranked, dim=-1, descending=True, stable=True)
    errors = (errors * counts).double().gather(-1, order)
    inside = truth.double().gather(-1, order)
    outside = (counts.double() - truth.double()).gather(-1, order)
    total = inside.sum(-1, keepdim=True)
    left = total - inside.cumsum(-1)
    union = total + outside.cumsum(-1)
    jaccard = 1.0 - left / union.masked_fill(union == 0, 1.0)
    added = torch.cat((jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]), dim=-1)
    return (errors * added).sum(-1)
