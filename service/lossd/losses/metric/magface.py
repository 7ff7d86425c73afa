"""MagFace: ArcFace with a margin that grows with the embedding's length, which is rewarded."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import BEYOND, Beyond, plus_margin, softmax_with, to_classes


class MagfaceParams(LossParams):
    """Parameters of `magface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    shortest: float = Field(10.0, gt=0, le=1e6, description="l_a: lengths below count as this.")
    length_range: float = Field(
        100.0, gt=0, le=1e6, description="u_a - l_a: lengths above l_a + this count as that."
    )
    lowest_margin: float = Field(0.45, ge=0, le=1.5, description="At the shortest, in radians.")
    margin_range: float = Field(
        0.35, ge=0, le=1.5, description="How much larger the margin is at the longest."
    )
    length_weight: float = Field(
        35.0, ge=0, le=1e6, description="lambda_g: of the reward for length."
    )
    beyond: Beyond = Field("linear", description=BEYOND)


@loss(
    formula=r"-\log \frac{e^{s \cos(\theta_y + m(a))}}{e^{s \cos(\theta_y + m(a))} + "
    r"\sum_{j \neq y} e^{s \cos\theta_j}} + \lambda_g \left(\tfrac{1}{a} + "
    r"\tfrac{a}{u_a^2}\right), \quad a = \lVert x \rVert",
    source="Meng et al. 2021, arXiv:2103.06627, eqs. 3 and 4; beyond pi its reference code takes "
    "cos(theta), here as in arcface",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="Easy rows grow long and get a wide margin, hard ones stay short: the "
        "length is a quality score.",
        use="Face recognition and quality assessment in one.",
        stability="Lengths outside their bounds get no gradient by margin or reward; start with "
        "embeddings within. An angle of exactly 0 or pi is a kink with gradient 0.",
        data="Many classes, images of any quality. rows x classes cosines are made.",
    ),
    example=Example(
        {
            "embeddings": [[12.0, 2.0], [1.0, 20.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        },
        {"scale": 4.0},
    ),
)
def magface(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: MagfaceParams
) -> Float[Tensor, "rows"]:
    """The loss of arcface with the margin of the embedding's length, and the reward for length.

    The gradient goes through the margin too.

    Returns one value per row, in nats, > 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    length: Tensor = torch.linalg.vector_norm(embeddings, dim=1)
    longest = params.shortest + params.length_range
    within = (length > params.shortest) & (length < longest)
    bounded = length.detach().clamp(params.shortest, longest)
    length = torch.where(within, length, bounded)
    margin = (
        params.lowest_margin
        + params.margin_range * (length - params.shortest) / params.length_range
    )
    own = plus_margin(at_label(cosine, labels), sine, margin, params.beyond)
    told = softmax_with(params.scale * cosine, params.scale * own, labels)
    return told + params.length_weight * (1.0 / length + length / longest**2)
