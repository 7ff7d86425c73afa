"""Inputs and maths that losses of chosen and rejected answers share."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._ops import softplus
from lossd.losses._spec import Arg

ChosenLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Log-probability of the preferred answer, summed over tokens.", gradient=True, high=0),
]
RejectedLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Log-probability of the other answer, summed over tokens.", gradient=True, high=0),
]
ReferenceChosenLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Log-probability of the preferred answer under the reference policy.", high=0),
]
ReferenceRejectedLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Log-probability of the other answer under the reference policy.", high=0),
]
AverageChosenLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(
        doc="Log-probability of the preferred answer, averaged over tokens.", gradient=True, high=0
    ),
]
AverageRejectedLogProbabilities = Annotated[
    Float[Tensor, "rows"],
    Arg(doc="Log-probability of the other answer, averaged over tokens.", gradient=True, high=0),
]
ChosenTokens = Annotated[
    Float[Tensor, "rows"], Arg(doc="Tokens of the preferred answer; 1 if absent.", low=1)
]
RejectedTokens = Annotated[
    Float[Tensor, "rows"], Arg(doc="Tokens of the other answer; 1 if absent.", low=1)
]
Desirable = Annotated[
    Int[Tensor, "rows"], Arg(doc="1: the answer is desirable; 0: it is not.", values=(0, 1))
]


def smoothed_logistic(margin: Tensor, label_smoothing: float) -> Tensor:
    """-log sigmoid(margin), with the share `label_smoothing` of pairs taken the other way round."""
    value = softplus(-margin)
    if not label_smoothing:
        return value
    return (1.0 - label_smoothing) * value + label_smoothing * softplus(margin)
