"""Energy score: the ranked probability score of ensembles of vectors."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import power
from lossd.losses._spec import Arg, Card, Example, LossParams


class EnergyScoreParams(LossParams):
    """Parameters of `energy_score`."""

    beta: float = Field(
        1.0, gt=0, lt=2, description="Exponent of distances; 2 would look at means alone."
    )
    estimator: Literal["biased", "fair"] = Field(
        "biased",
        description="biased: of the members' own distribution, spread over M^2; fair: of the "
        "one that they are drawn from, spread over M (M - 1).",
    )


@loss(
    formula=r"\frac{1}{M} \sum_m \lVert x_m - y \rVert^{\beta} - \frac{1}{2 M^2} \sum_{m,n} "
    r"\lVert x_m - x_n \rVert^{\beta}",
    source="Gneiting and Raftery 2007, JASA 102, 359-378, eq. 22",
    units="units of the target to the power beta",
    matrices=(("rows", "members", "members"),),
    topics=("uncertainty",),
    card=Card(
        characteristics="A proper score of a sample of vectors; crps_ensemble in one dimension.",
        use="Ensembles of several quantities at once, generative models, distributional "
        "regression (engression).",
        stability="Distances of 0 have gradient 0. It tells means and scales well, correlations "
        "between components less.",
        data="Two members or more per row, components of comparable scale.",
    ),
    example=Example(
        {
            "prediction": [[[1.0, 2.5], [2.0, 0.5]], [[-1.0, 0.0], [1.5, 1.0]]],
            "target": [[2.0, 1.0], [0.5, 0.25]],
        }
    ),
)
def energy_score(
    prediction: Annotated[
        Float[Tensor, "rows members features"],
        Arg(doc="Predicted vectors, a member along axis 1.", gradient=True),
    ],
    target: Annotated[
        Float[Tensor, "rows features"],
        Arg(doc="True vectors, in the unit of the prediction.", gradient=True),
    ],
    *,
    params: EnergyScoreParams,
) -> Float[Tensor, "rows"]:
    """Mean distance of members to the target less half of their mean distance to each other.

    One value per row. Without members it is 0; of one member the spread is 0.
    """
    count = prediction.shape[1]
    if not count:
        return prediction.sum((1, 2)) + 0.0 * target.sum(1)
    errors: Tensor = torch.linalg.vector_norm(prediction - target.unsqueeze(1), dim=2)
    exact = "donot_use_mm_for_euclid_dist"  # a product of matrices would cancel
    spread: Tensor = torch.cdist(prediction, prediction, compute_mode=exact)
    if params.beta != 1.0:
        errors, spread = power(errors, params.beta), power(spread, params.beta)
    pairs = count * (count - 1) if params.estimator == "fair" else count * count
    return errors.mean(1) - 0.5 * spread.sum((1, 2)) / max(1, pairs)
