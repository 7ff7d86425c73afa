"""Inputs that many losses share, with what the signature cannot say about them."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._spec import Arg

Logits = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Raw scores; -inf marks a class that cannot be.", gradient=True, minus_infinity=True),
]
FiniteLogits = Annotated[
    Float[Tensor, "rows classes *spatial"], Arg(doc="Raw scores.", gradient=True)
]
LogProbabilities = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(
        doc="Natural logarithms of probabilities; -inf is probability 0.",
        gradient=True,
        high=0,
        minus_infinity=True,
    ),
]
Probabilities = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(
        doc="Predicted probability of each class.",
        gradient=True,
        low=0,
        high=1,
        sums_to_one="classes",
    ),
]
TargetProbabilities = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(doc="Target probability of each class.", low=0, high=1, sums_to_one="classes"),
]
Labels = Annotated[Int[Tensor, "rows *spatial"], Arg(doc="Class of each item.", index_of="classes")]
IgnorableLabels = Annotated[
    Int[Tensor, "rows *spatial"],
    Arg(doc="Class of each item, or `ignore_index`.", index_of="classes"),
]
ClassWeights = Annotated[
    Float[Tensor, "classes"], Arg(doc="Weight of each class, 1 if absent.", low=0)
]
Prediction = Annotated[Float[Tensor, "rows *rest"], Arg(doc="Predicted values.", gradient=True)]
Target = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="True values, in the unit of the prediction.", gradient=True),
]
Scores = Annotated[Float[Tensor, "rows *rest"], Arg(doc="Raw scores.", gradient=True)]
BinaryTargets = Annotated[
    Float[Tensor, "rows *rest"], Arg(doc="Probability that the item is positive.", low=0, high=1)
]
SignLabels = Annotated[
    Int[Tensor, "rows *rest"], Arg(doc="-1 or 1: the side of the item.", values=(-1, 1))
]
SimilarLabels = Annotated[
    Int[Tensor, "rows"], Arg(doc="1: the pair is similar; 0: it is not.", values=(0, 1))
]
Weights = Annotated[
    tuple[Float[Tensor, "..."], ...],
    Arg(doc="Weights of a model: one tensor of any shape, or a group of them.", gradient=True),
]
LogitScale = Annotated[
    Float[Tensor, ""],
    Arg(
        doc="What similarities are multiplied by: 1 / temperature, not its log.",
        gradient=True,
        low=0,
    ),
]
RowLogits = Annotated[
    Float[Tensor, "rows classes"], Arg(doc="Raw score of each class.", gradient=True)
]
RowLabels = Annotated[Int[Tensor, "rows"], Arg(doc="Class of each row.", index_of="classes")]
MultiLabels = Annotated[
    Int[Tensor, "rows classes"], Arg(doc="1: the class is a label of the row.", values=(0, 1))
]
