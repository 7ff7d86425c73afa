"""ArcFace: softmax over cosines with a margin added to the angle of the right class."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import BEYOND, Beyond, plus_margin, softmax_with, to_classes


class ArcfaceParams(LossParams):
    """Parameters of `arcface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    margin: float = Field(0.5, ge=0, le=3.14159, description="Angle, in radians.")
    beyond: Beyond = Field("linear", description=BEYOND)


@loss(
    formula=r"-\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + "
    r"\sum_{j \neq y} e^{s \cos\theta_j}}",
    source="Deng et al. 2019, arXiv:1801.07698, eq. 3; beyond pi: its reference code",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="A margin of equal angle everywhere on the sphere; lengths do not count.",
        use="Face recognition and other open-set identification.",
        stability="Sines come from chords, so that no clamp cuts the gradient near 0. A small "
        "scale cannot reach a small loss; with many classes a large margin may not start.",
        data="Many classes, some rows each. The proxies are as large as the classifier: "
        "rows x classes cosines are made.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        },
        {"scale": 4.0},
    ),
)
def arcface(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: ArcfaceParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled cosines, the right class's of an angle widened by the margin.

    pytorch-metric-learning gives the margin in degrees: its 28.6 is 0.5 here. An angle of exactly 0
    or pi is a kink, where the sine has gradient 0.

    Returns one value per row, in nats, >= 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    margin = torch.full_like(sine, params.margin)
    own = plus_margin(at_label(cosine, labels), sine, margin, params.beyond)
    return softmax_with(params.scale * cosine, params.scale * own, labels)
