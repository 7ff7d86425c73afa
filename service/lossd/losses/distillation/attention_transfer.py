"""Attention transfer: where a student looks should be where its teacher does."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, power
from lossd.losses._spec import Arg, Card, Example, LossParams


class AttentionTransferParams(LossParams):
    """Parameters of `attention_transfer`."""

    exponent: float = Field(
        2.0, ge=1, le=16, description="The power of a channel's size in the map."
    )


@loss(
    formula=r"\frac{1}{P} \left\| \frac{Q_s}{\|Q_s\|_2} - \frac{Q_t}{\|Q_t\|_2} \right\|_2^2,"
    r"\quad Q = \sum_c |f_c|^p",
    source="Zagoruyko and Komodakis 2017, arXiv:1612.03928, eq. 2; squared, over P positions, as "
    "in the authors' code",
    units="1 per position",
    card=Card(
        characteristics="Compares where activations are large, not what they are: student and "
        "teacher may have any number of channels.",
        use="Beside `distillation`, at a few layers of convolutional networks of one resolution.",
        stability="Maps are compared by direction, so no size of activations over- or "
        "underflows. A map of zeros has no gradient.",
        data="Feature maps of one spatial size.",
    ),
    example=Example(
        {
            "student": [[[1.0, 0.5, -0.2], [0.3, -1.0, 0.1]]],
            "teacher": [[[0.9, 0.1, 0.2], [0.5, -1.2, 0.0], [1.0, 1.0, 0.1]]],
        }
    ),
)
def attention_transfer(
    student: Annotated[
        Float[Tensor, "rows student_channels *spatial"],
        Arg(doc="The student's feature maps.", gradient=True),
    ],
    teacher: Annotated[
        Float[Tensor, "rows teacher_channels *spatial"], Arg(doc="The teacher's feature maps.")
    ],
    *,
    params: AttentionTransferParams,
) -> Float[Tensor, "rows"]:
    """The mean squared difference of both attention maps, each over its length.

    Returns one value per row, in [0, 2 / positions]; 0 of no positions.
    """
    apart = _attention(student, params.exponent) - _attention(teacher, params.exponent)
    return apart.square().sum(1) / max(1, apart.shape[1])


def _attention(features: Tensor, exponent: float) -> Tensor:
    """(rows, positions): each row of length 1, or 0."""
    flat = features.unsqueeze(2).flatten(2)
    if not flat.numel():
        return flat.sum(1)
    # A direction does not change with the size, so the largest may be taken out as constant.
    size = flat.detach().abs().amax((1, 2), keepdim=True)
    size = size.masked_fill(size == 0, 1.0)
    return direction(power((flat / size).abs(), exponent).sum(1))
