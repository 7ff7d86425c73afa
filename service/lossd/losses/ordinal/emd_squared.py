"""Squared earth mover's distance of two distributions over ordered classes."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import one_hot
from lossd.losses._spec import Arg, Card, Example, LossParams


class EmdSquaredParams(LossParams):
    """`emd_squared` has no parameters."""


@loss(
    formula=r"\sum_k \left(\sum_{j \le k} p_j - t_j\right)^2,\quad p = \operatorname{softmax}(z)",
    source="Hou et al. 2016, arXiv:1611.05916, eq. 4; as a score of forecasts (ranked "
    "probability score): Epstein 1969",
    units="unitless",
    exactly_one_of=(("labels", "target_probabilities"),),
    card=Card(
        characteristics="Sees how far off the mass is; a proper score, not convex in the logits.",
        use="Ratings given as histograms (image quality), ages, ordered grades.",
        stability="Bounded by classes - 1; a row that is sure and wrong gets next to no gradient: "
        "begin with cross_entropy, or add it.",
        data="Labels, or a distribution over classes at equal distances.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [2, 1]}),
)
def emd_squared(
    logits: Annotated[
        Float[Tensor, "rows classes"],
        Arg(
            doc="Raw scores; -inf marks a class that cannot be.", gradient=True, minus_infinity=True
        ),
    ],
    labels: Annotated[Int[Tensor, "rows"], Arg(doc="Class of each row.", index_of="classes")]
    | None = None,
    target_probabilities: Annotated[
        Float[Tensor, "rows classes"],
        Arg(doc="Target probability of each class.", low=0, high=1, sums_to_one="classes"),
    ]
    | None = None,
    *,
    params: EmdSquaredParams,
) -> Float[Tensor, "rows"]:
    """Squared differences of two cumulative distributions, added up over classes.

    Returns one value per row, in [0, classes - 1].
    """
    p = torch.softmax(logits, 1)
    if target_probabilities is None:
        assert labels is not None
        target_probabilities = one_hot(labels, p)
    return (p - target_probabilities).cumsum(1).square().sum(1)
