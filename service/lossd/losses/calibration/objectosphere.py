"""Objectosphere: features of familiar rows must be long, those of outliers short."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.calibration._confidence import IsOutlier


class ObjectosphereParams(LossParams):
    """Parameters of `objectosphere`."""

    radius: float = Field(10.0, ge=0, description="Length wanted of a familiar row's features.")


@loss(
    formula=r"\max(0,\; \xi - \lVert f \rVert)^2 \text{ of a familiar row};\quad "
    r"\lVert f \rVert^2 \text{ of an outlier}",
    source="Dhamija, Gunther and Boult 2018, arXiv:1811.04110, eq. 2",
    units="squared feature units",
    card=Card(
        characteristics="Makes the length of the features a sign of how familiar a row is; it "
        "says nothing about classes.",
        use="Beside outlier_exposure (the entropic open-set loss), with a small coefficient.",
        stability="Features of 0 have no direction: of a familiar row they get no gradient.",
        data="Deep features, before the classifier, of familiar rows and of outliers.",
    ),
    example=Example({"features": [[2.0, 0.5], [0.1, 1.2]], "is_outlier": [0, 1]}),
)
def objectosphere(
    features: Annotated[Float[Tensor, "rows features"], Arg(doc="Deep features.", gradient=True)],
    is_outlier: IsOutlier,
    *,
    params: ObjectosphereParams,
) -> Float[Tensor, "rows"]:
    """Square of what a familiar row's length is short of the radius, or of an outlier's length.

    The gradient at the radius is 0.

    Returns one value per row, >= 0.
    """
    length = torch.linalg.vector_norm(features, dim=1)
    return torch.where(
        is_outlier == 1, features.square().sum(1), positive_part(params.radius - length).square()
    )
