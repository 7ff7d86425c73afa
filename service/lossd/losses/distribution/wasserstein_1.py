"""Earth mover's distance of distributions over classes on a line."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits


class Wasserstein1Params(LossParams):
    """`wasserstein_1` has no parameters."""


@loss(
    formula=r"\sum_{k<K} (x_{k+1} - x_k) \left|\sum_{j \le k} (p_j - q_j)\right|",
    source="Vallender 1974, Theory of Probability and its Applications 18, 784-786",
    units="units of the positions, else classes",
    topics=("ordinal",),
    card=Card(
        characteristics="A distance that knows how far classes are apart: the mass moved, times "
        "how far it goes.",
        use="Ratings, ages, bins of a value: classes with an order.",
        stability="Piecewise linear in the probabilities, bounded by the width of the line.",
        data="Distributions over ordered classes; positions where they are not evenly spaced.",
    ),
    example=Example(
        {
            "p_logits": [[2.0, 0.5, -1.0]],
            "q_logits": [[0.1, 1.2, 0.3]],
            "positions": [1.0, 2.0, 5.0],
        }
    ),
)
def wasserstein_1(
    p_logits: PLogits,
    q_logits: QLogits,
    positions: Annotated[
        Float[Tensor, "classes"],
        Arg(doc="Where each class lies, in any order; 0, 1, 2, ... if absent."),
    ]
    | None = None,
    *,
    params: Wasserstein1Params,
) -> Float[Tensor, "rows *spatial"]:
    """Area between two cumulative distributions over the classes: one value per item.

    The subgradient where they touch is 0.
    """
    surplus = torch.softmax(p_logits, 1) - torch.softmax(q_logits, 1)
    if positions is None:
        return surplus.cumsum(1)[:, :-1].abs().sum(1)
    places, order = positions.sort(stable=True)
    gaps = places.diff().view(-1, *([1] * (surplus.ndim - 2)))
    return (gaps * surplus[:, order].cumsum(1)[:, :-1].abs()).sum(1)
