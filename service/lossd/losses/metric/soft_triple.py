"""SoftTriple: softmax over soft maxima of the cosines to several centers per class."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label, direction
from lossd.losses._pairs import ClassLabels, Embeddings
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import Centers, softmax_with


class SoftTripleParams(LossParams):
    """Parameters of `soft_triple`."""

    scale: float = Field(20.0, gt=0, le=1e6, description="lambda: what similarities are times.")
    gamma: float = Field(
        0.1, ge=1e-6, le=1e6, description="Temperature of the softmax over a class's centers."
    )
    margin: float = Field(0.01, ge=0, le=2, description="Taken off the right class; delta.")


@loss(
    formula=r"-\log \frac{e^{\lambda (S_y - \delta)}}{e^{\lambda (S_y - \delta)} + "
    r"\sum_{j \neq y} e^{\lambda S_j}}, \quad S_j = \sum_k \frac{e^{s_{jk} / \gamma}}"
    r"{\sum_l e^{s_{jl} / \gamma}} s_{jk}",
    source="Qian et al. 2019, arXiv:1909.05235, eqs. 5 and 6",
    units="nats",
    matrices=(("rows", "classes", "centers"),),
    card=Card(
        characteristics="A class may have several clusters; a softmax over them, not a maximum, "
        "lets all of its centers learn.",
        use="Fine-grained retrieval without mining.",
        stability="Smooth. The paper adds a penalty that merges centers, which is not part of "
        "this value.",
        data="Labelled classes that look several ways; 2 to 10 centers each.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "centers": [[[1.0, 0.0], [0.5, -1.0]], [[0.0, 1.0], [-1.0, 0.5]]],
            "labels": [0, 1],
        }
    ),
)
def soft_triple(
    embeddings: Embeddings, centers: Centers, labels: ClassLabels, *, params: SoftTripleParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled similarities to classes, each a soft maximum over its centers.

    Returns one value per row, in nats, >= 0.
    """
    classes, per_class, _ = centers.shape
    cosine = direction(embeddings) @ direction(centers.flatten(0, 1)).T
    cosine = cosine.view(len(embeddings), classes, per_class)
    near = (torch.softmax(cosine / params.gamma, dim=2) * cosine).sum(2)
    own = at_label(near, labels) - params.margin
    return softmax_with(params.scale * near, params.scale * own, labels)
