"""SphereFace: softmax over cosines with the angle of the right class multiplied."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import ANNEALING, softmax_with, times_angle, to_classes


class SpherefaceParams(LossParams):
    """Parameters of `sphereface`."""

    margin: int = Field(4, ge=1, le=16, description="What the angle is multiplied by.")
    annealing: float = Field(0.0, ge=0, le=1e9, description=ANNEALING)


@loss(
    formula=r"-\log \frac{e^{\lVert x \rVert \psi(\theta_y)}}{e^{\lVert x \rVert \psi(\theta_y)} "
    r"+ \sum_{j \neq y} e^{\lVert x \rVert \cos\theta_j}}, \quad "
    r"\psi(\theta) = (-1)^k \cos(m \theta) - 2k",
    source="Liu et al. 2017, arXiv:1704.08063, eq. 7 (A-Softmax)",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="A margin that grows with the angle; the length of the embedding is the "
        "scale.",
        use="Face recognition; arcface and cosface are easier to train.",
        stability="Hardly starts alone: the paper blends in the plain cosine with a weight that "
        "falls from about 1000 to 5, here `annealing`. Which branch k counts is constant.",
        data="Many classes, some rows each. rows x classes cosines are made.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        }
    ),
)
def sphereface(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: SpherefaceParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy over cosines times the embedding's length, the right class's by psi.

    Returns one value per row, in nats, >= 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    plain = at_label(cosine, labels)
    changed = times_angle(plain, sine, params.margin)
    own = (changed + params.annealing * plain) / (1.0 + params.annealing)
    length: Tensor = torch.linalg.vector_norm(embeddings, dim=1)
    return softmax_with(length.unsqueeze(1) * cosine, length * own, labels)
