"""Sub-center ArcFace: ArcFace with several proxies per class, of which the nearest counts."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label, direction
from lossd.losses._pairs import ClassLabels, Embeddings
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import (
    BEYOND,
    Beyond,
    Centers,
    plus_margin,
    sine_of,
    softmax_with,
)


class SubcenterArcfaceParams(LossParams):
    """Parameters of `subcenter_arcface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    margin: float = Field(0.5, ge=0, le=3.14159, description="Angle, in radians.")
    beyond: Beyond = Field("linear", description=BEYOND)


@loss(
    formula=r"-\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + "
    r"\sum_{j \neq y} e^{s \cos\theta_j}}, \quad \cos\theta_j = \max_k \langle x, w_{jk} \rangle",
    source="Deng et al. 2020, ECCV, Sub-center ArcFace, eqs. 2 and 3",
    units="nats",
    matrices=(("rows", "classes", "centers"),),
    card=Card(
        characteristics="A class may have several clusters; wrong labels gather in a cluster of "
        "their own and disturb the main one less.",
        use="Identification with noisy labels, or classes that look several ways.",
        stability="As arcface. Only the nearest center of a class gets a gradient, and at a tie "
        "one of them.",
        data="Many noisy classes. Three centers per class are usual; memory grows with them.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "centers": [[[1.0, 0.0], [0.5, -1.0]], [[0.0, 1.0], [-1.0, 0.5]]],
            "labels": [0, 1],
        },
        {"scale": 4.0},
    ),
)
def subcenter_arcface(
    embeddings: Embeddings, centers: Centers, labels: ClassLabels, *, params: SubcenterArcfaceParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled cosines to the nearest center of each class, as in arcface.

    Returns one value per row, in nats, >= 0.
    """
    x = direction(embeddings)
    classes, per_class, _ = centers.shape
    flat = direction(centers.flatten(0, 1))
    nearest = (x @ flat.T).view(-1, classes, per_class).max(2)
    own = flat[labels * per_class + at_label(nearest.indices, labels)]
    sine = sine_of(x, own)
    cosine = nearest.values
    margin = torch.full_like(sine, params.margin)
    changed = plus_margin(at_label(cosine, labels), sine, margin, params.beyond)
    return softmax_with(params.scale * cosine, params.scale * changed, labels)
