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

MEAN, DEVIATION = 20.0, 100.0  # of lengths, before any call, as in the reference code
TINY = 1e-30


class AdafaceParams(LossParams):
    """Parameters of `adaface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    margin: float = Field(0.4, ge=0, le=1.5, description="Angle and cosine, m in the paper.")
    concentration: float = Field(
        0.333, ge=0, le=10, description="h: how fast the margin changes with the length."
    )
    momentum: float = Field(
        0.99, ge=0, le=1, description="How much of the old mean and deviation stays."
    )


def state(
    params: AdafaceParams,
    embeddings: Tensor,
    length_mean: Tensor | None = None,
    length_deviation: Tensor | None = None,
) -> dict[str, Tensor]:
    """Mean and unbiased deviation of the lengths, averaged into the old ones."""
    old = [_or(length_mean, MEAN, embeddings), _or(length_deviation, DEVIATION, embeddings)]
    names = ("length_mean", "length_deviation")
    length: Tensor = torch.linalg.vector_norm(embeddings.detach(), dim=1)
    if len(length) < 2:  # without a spread
        return dict(zip(names, old, strict=True))
    new = (length.mean(), length.std())
    moved = [torch.lerp(b, a, params.momentum) for a, b in zip(old, new, strict=True)]
    return dict(zip(names, moved, strict=True))


def _or(given: Tensor | None, default: float, like: Tensor) -> Tensor:
    return like.new_tensor(default) if given is None else given


@loss(
    formula=r"-\log \frac{e^{s u}}{e^{s u} + \sum_{j \neq y} e^{s \cos\theta_j}}, \quad "
    r"u = \cos(\theta_y - m \hat z) - m \hat z - m, \quad "
    r"\hat z = \operatorname{clip}\left(h \tfrac{\lVert x \rVert - \mu}{\sigma}, -1, 1\right)",
    source="Kim, Jain and Liu 2022, arXiv:2204.00964, eqs. 9 to 14",
    units="nats",
    matrices=(("rows", "classes"),),
    state=state,
    card=Card(
        characteristics="Long embeddings, of good images, have the margin of cosface on hard rows; "
        "short ones that of a negative arcface, which leaves hopeless rows alone.",
        use="Face recognition with images of any quality.",
        stability="The quality counts as constant, as in the paper. The angle is kept within 0 "
        "and pi, where it has no gradient.",
        data="Many classes. The mean and spread of lengths are a state, answered for the next "
        "call.",
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
        Float[Tensor, ""],
        Arg(doc="Running mean of the embeddings' lengths, 20 if absent.", low=0, role="state"),
    ]
    | None = None,
    length_deviation: Annotated[
        Float[Tensor, ""],
        Arg(doc="Their running standard deviation, 100 if absent.", low=0, role="state"),
    ]
    | None = None,
    *,
    params: AdafaceParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled cosines, with a margin between angle and cosine by length.

    Mean and deviation are those of earlier calls, so that rows stand alone; the new ones are for
    the next. The reference code moves them first, adds 0.001 to the deviation, cuts lengths at 100
    and keeps angles 0.001 from 0 and pi. At deviation 0 the margin is that of the nearer bound.

    Returns one value per row, in nats, >= 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    length = torch.linalg.vector_norm(embeddings.detach(), dim=1)
    away = params.concentration * (length - _or(length_mean, MEAN, length))
    spread = _or(length_deviation, DEVIATION, length)
    # Divided first and clamped, 0 / 0 would be NaN.
    quality = torch.where(away.abs() < spread, away / spread.clamp(min=TINY), away.sign())
    turn = -params.margin * quality
    plain = at_label(cosine, labels)
    angle = torch.atan2(sine, plain).detach() + turn
    turned = plus_angle(plain, sine, turn)
    turned = torch.where(angle < 0, 1.0, torch.where(angle > torch.pi, -1.0, turned))
    own = turned + turn - params.margin
    return softmax_with(params.scale * cosine, params.scale * own, labels)
