"""Boundary loss: probabilities weighed by their distance to the true outline."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.segmentation._distances import SignedDistance
from lossd.losses.segmentation._regions import RegionProbabilities


class BoundaryParams(LossParams):
    """Parameters of `boundary`."""

    activation: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="What makes probabilities of logits."
    )
    include_background: bool = Field(False, description="Whether class 0 counts.")


@loss(
    formula=r"\frac{1}{|\Omega|} \sum_{x \in \Omega} \phi(x)\, p(x)",
    source="Kervadec et al. 2019, arXiv:1812.07032, eq. 5",
    units="pixels",
    exactly_one_of=(("logits", "probabilities"),),
    card=Card(
        characteristics="Linear in the probabilities; least, and negative, where exactly the "
        "region is found.",
        use="Beside `dice` or cross-entropy, with a weight that grows; not alone, for an empty "
        "prediction costs nothing.",
        stability="As far as the distances go: large maps have large gradients.",
        data="The signed distance map of each mask, from any distance transform: client's work.",
    ),
    example=Example(
        {
            "logits": [[[0.5, -1.0, 0.3], [1.2, 0.3, -0.4]]],
            "distance_map": [[[0.0, 0.0, 0.0], [-1.0, 1.0, 2.0]]],
        }
    ),
)
def boundary(
    distance_map: SignedDistance,
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    *,
    params: BoundaryParams,
) -> Float[Tensor, "rows"]:
    """The mean over an image's classes and pixels of probability times signed distance.

    Returns one value per image, in pixels, of either sign; 0 where there are no pixels.
    """
    if logits is None:
        p = probabilities
    elif params.activation == "sigmoid":
        p = torch.sigmoid(logits)
    else:
        p = torch.softmax(logits, dim=1)
    assert p is not None
    first = 0 if params.include_background else 1
    terms = (p * distance_map)[:, first:].flatten(1)
    return (terms.sum(1, dtype=torch.float64) / max(1, terms.shape[1])).to(p.dtype)
