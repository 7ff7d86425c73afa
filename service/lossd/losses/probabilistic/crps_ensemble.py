"""Continuous ranked probability score of an ensemble of predictions."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class CrpsEnsembleParams(LossParams):
    """Parameters of `crps_ensemble`."""

    estimator: Literal["biased", "fair"] = Field(
        "biased",
        description="biased: of the members' own distribution, spread over M^2; fair: of the "
        "one that they are drawn from, spread over M (M - 1).",
    )


@loss(
    formula=r"\frac{1}{M} \sum_m |x_m - y| - \frac{1}{2 M^2} \sum_{m,n} |x_m - x_n|",
    source="Gneiting and Raftery 2007, JASA 102, 359-378, eq. 20; fair: Ferro 2014, QJRMS 140, "
    "1917-1923",
    units="units of the target",
    topics=("uncertainty",),
    card=Card(
        characteristics="A proper score of a sample: near the target is good, and so is a spread "
        "that fits. With one member it is l1.",
        use="Weather and other ensembles, generative models that are sampled in training.",
        stability="The spread is taken by ranks, so time and memory grow as M log M. Subgradients "
        "of ties are 0. fair may be negative, and with two members cannot tell them apart from "
        "a spread of any size between which the target lies.",
        data="Two members or more per row; a dozen for training.",
    ),
    example=Example({"prediction": [[1.0, 2.5, 2.0], [-1.0, 0.0, 1.5]], "target": [2.2, 0.5]}),
)
def crps_ensemble(
    prediction: Annotated[
        Float[Tensor, "rows members *rest"],
        Arg(doc="Predictions, a member along axis 1.", gradient=True),
    ],
    target: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="True values, in the unit of the prediction.", gradient=True),
    ],
    *,
    params: CrpsEnsembleParams,
) -> Float[Tensor, "rows *rest"]:
    """Mean distance of members to the target less half of their mean distance to each other.

    One value per target. Without members it is 0; of one member the spread is 0.
    """
    error = (prediction - target.unsqueeze(1)).movedim(1, -1).contiguous()
    count = error.shape[-1]
    if not count:
        return error.sum(-1) + 0.0 * target
    # Sum |x_m - x_n| = 2 sum x_m (how many are below it - how many above), which errors give too.
    with torch.no_grad():
        ordered = error.sort(-1).values
        below = torch.searchsorted(ordered, error)
        above = count - torch.searchsorted(ordered, error, right=True)
        rank = (below - above).to(error.dtype)
    pairs = count * (count - 1) if params.estimator == "fair" else count * count
    return error.abs().mean(-1) - (error * rank).sum(-1) / max(1, pairs)
