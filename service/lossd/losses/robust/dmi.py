"""Determinant-based mutual information (DMI): what predictions and labels of a batch share."""

import math
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import one_hot
from lossd.losses._spec import Arg, Card, Example, LossParams


class DmiParams(LossParams):
    """Parameters of `dmi`."""

    eps: float = Field(
        0.0, ge=0, le=1, description="Added to the determinant; bounds the value by -log eps."
    )


@loss(
    formula=r"-\log\left( \lvert \det U \rvert + \epsilon \right),\quad U_{kl} = \frac{1}{N} "
    r"\sum_i p_{ik} [y_i = l],\ p = \operatorname{softmax}(z)",
    source="Xu et al. 2019, arXiv:1909.03388, the loss L_DMI",
    units="nats",
    coupling="whole",
    card=Card(
        characteristics="Noise that depends on the class only adds a constant, whatever its rates. "
        "One value for a batch; the order of the predicted classes is not determined.",
        use="After a phase of cross_entropy, on labels of unknown, strong, class-wise noise.",
        stability="By a log-determinant in float64. A batch that lacks a class has determinant 0: "
        "+inf at eps 0, and no gradient.",
        data="Batches with many items of every class, so few classes. The authors' code has eps "
        "1e-3, which for ten classes is far above any determinant.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5], [0.1, 1.2], [1.0, -0.5], [-1.0, 0.3]], "labels": [0, 1, 0, 1]}
    ),
)
def dmi(
    logits: Annotated[
        Float[Tensor, "rows classes"],
        Arg(
            doc="Raw scores; -inf marks a class that cannot be.",
            gradient=True,
            minus_infinity=True,
        ),
    ],
    labels: Annotated[Int[Tensor, "rows"], Arg(doc="Class of each item.", index_of="classes")],
    *,
    params: DmiParams,
) -> Float[Tensor, ""]:
    """Minus the log of the determinant of the matrix that joins predictions and labels.

    Returns one value, in nats; without items that of a determinant of 0.
    """
    p = torch.softmax(logits.double(), 1)
    joint = p.T @ one_hot(labels, p) / max(len(p), 1)
    with torch.no_grad():
        singular = torch.linalg.slogdet(joint).logabsdet == -torch.inf
    whole = torch.where(singular, torch.eye(len(joint), dtype=p.dtype, device=p.device), joint)
    size = torch.linalg.slogdet(whole).logabsdet
    if params.eps:
        floor = math.log(params.eps)
        value = torch.logaddexp(size, torch.full_like(size, floor)).masked_fill(singular, floor)
    else:
        value = size.masked_fill(singular, -torch.inf)
    return -value.to(logits.dtype)
