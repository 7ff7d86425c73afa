"""AdaFace: a margin that depends on the length of the embedding, which tells image quality."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.metric._margins import plus_angle, softmax_with, to_classes


class AdafaceParams(LossParams):
    """Parameters of `adaface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    margin: float = Field(0.4, ge=0, le=1.5, description="Angle and cosine, m in the paper.")
    concentration: float = Field(
        0.333, ge=0, le=10, description="h: how fast the margin changes with the length."
    )


@loss(
    formula=r"-\log \frac{e^{s u}}{e^{s u} + \sum_{j \neq y} e^{s \cos\theta_j}}, \quad "
    r"u = \cos(\theta_y - m \hat z) - m \hat z - m, \quad "
    r"\hat z = \operatorname{clip}\left(h \tfrac{\lVert x \rVert - \mu}{\sigma}, -1, 1\right)",
    source="Kim, Jain and Liu 2022, arXiv:2204.00964, eqs. 9 to 14",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="Long embeddings, of good images, have the margin of cosface on hard rows; "
        "short ones that of a negative arcface, which leaves hopeless rows alone.",
        use="Face recognition with images of any quality.",
        stability="The quality counts as constant, as in the paper. The angle is kept within 0 "
        "and pi, where it has no gradient.",
        data="Many classes. The mean and spread of lengths are the caller's running averages.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
            "length_mean": 1.0,
            "length_deviation": 0.5,
        },
        {"scale": 4.0},
    ),
)
def adaface(
    embeddings: Embeddings,
    proxies: Proxies,
    labels: ClassLabels,
    length_mean: Annotated[
        Float[Tensor, ""], Arg(doc="Running mean of the embeddings' lengths.", low=0)
    ],
    length_deviation: Annotated[
        Float[Tensor, ""],
        Arg(doc="Running standard deviation of the embeddings' lengths.", low=1e-6),
    ],
    *,
    params: AdafaceParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled cosines, with a margin between angle and cosine by length.

    The reference code adds 0.001 to the deviation and keeps angles 0.001 from 0 and pi.

    Returns one value per row, in nats, >= 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    length = torch.linalg.vector_norm(embeddings.detach(), dim=1)
    quality = params.concentration * (length - length_mean) / length_deviation
    turn = -params.margin * quality.clamp(-1.0, 1.0)
    plain = at_label(cosine, labels)
    angle = torch.atan2(sine, plain).detach() + turn
    turned = plus_angle(plain, sine, turn)
    turned = torch.where(angle < 0, 1.0, torch.where(angle > torch.pi, -1.0, turned))
    own = turned + turn - params.margin
    return softmax_with(params.scale * cosine, params.scale * own, labels)
