"""What robust losses of a difference share: its scale, and the logarithm of its square."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Scale = Annotated[
    float,
    Field(ge=1e-6, le=1e6, description="Size of an ordinary difference, in units of the target."),
]


def log1p_square(z: Tensor, b: Tensor) -> Tensor:
    """log(1 + z^2 / b) of z >= 0 and a scalar b > 0, also where z^2 is too large for its dtype."""
    far = z > b.sqrt()
    near_z, far_z = z.masked_fill(far, 0.0), z.masked_fill(~far, 1.0)
    beyond = 2.0 * far_z.log() - b.log() + torch.log1p(b / far_z / far_z)
    return torch.where(far, beyond, torch.log1p(near_z.square() / b))
