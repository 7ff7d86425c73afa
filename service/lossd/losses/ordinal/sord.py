"""Soft ordinal labels: cross-entropy with targets that fall off with the distance of classes."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import times_log
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.ordinal._thresholds import class_distances


class SordParams(LossParams):
    """Parameters of `sord`."""

    distance: Literal["absolute", "squared"] = Field(
        "absolute", description="What is paid for the distance of two classes."
    )
    scale: float = Field(1.0, gt=0, description="Multiplies the distance: larger is harder.")


@loss(
    formula=r"-\sum_k t_k \log p_k,\quad t = \operatorname{softmax}(-a\,\phi(y, k))",
    source="Diaz and Marathe 2019, Soft Labels for Ordinal Regression, CVPR, eq. 1",
    units="nats",
    card=Card(
        characteristics="Cross-entropy that spreads over neighbours; convex in the logits.",
        use="Ordered classes with an ordinary classifier head, unchanged.",
        stability="As stable as cross_entropy. Its least value is the entropy of the soft label.",
        data="Labels that may be off by one; a large scale trusts them more.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [2, 1]}),
)
def sord(
    logits: Annotated[Float[Tensor, "rows classes"], Arg(doc="Raw scores.", gradient=True)],
    labels: Annotated[Int[Tensor, "rows"], Arg(doc="Class of each row.", index_of="classes")],
    *,
    params: SordParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy with a softmax of negative distances to the labelled class.

    Returns one value per row, in nats, > 0.
    """
    distance = class_distances(labels, logits)
    if params.distance == "squared":
        distance = distance.square()
    target = torch.softmax(-params.scale * distance, 1)
    return -times_log(target, torch.log_softmax(logits, 1)).sum(1)
