"""Lengths of the gradients that a client sends."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

InputGradients = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Gradient of a network's score by its input, for each row.", gradient=True),
]
GradientNorms = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Euclidean length of that gradient.", gradient=True, low=0),
]


def lengths(gradients: Tensor | None, norms: Tensor | None) -> Tensor:
    """The length of each row's gradient; one of 0 gets none."""
    if norms is not None:
        return norms
    assert gradients is not None
    flat = gradients.unsqueeze(1).flatten(1)
    if not flat.shape[1]:
        return flat.sum(1)
    # Over the largest size first, or the squares of 1e20 and of 1e-30 are lost in float32.
    size = flat.detach().abs().amax(1, keepdim=True)
    size = size.masked_fill(size == 0, 1.0)
    length: Tensor = size.squeeze(1) * torch.linalg.vector_norm(flat / size, dim=1)
    return length
