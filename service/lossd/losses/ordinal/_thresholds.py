"""Inputs that losses of ordered classes share."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._spec import Arg

ThresholdLogits = Annotated[
    Float[Tensor, "rows thresholds"],
    Arg(doc="Raw score of being above each threshold; one fewer than classes.", gradient=True),
]
OrdinalLabels = Annotated[
    Int[Tensor, "rows"],
    Arg(doc="Class of each row, from 0.", index_of="thresholds", index_past=1),
]


def thresholds_like(x: Tensor) -> Tensor:
    """0, 1, ...: the number of each threshold of a (rows, thresholds) tensor."""
    return torch.arange(x.shape[1], device=x.device)


def class_distances(labels: Tensor, like: Tensor) -> Tensor:
    """(rows, classes): how far each class is from the row's own."""
    classes = torch.arange(like.shape[1], device=like.device)
    return (classes - labels.unsqueeze(1)).abs().to(like.dtype)
