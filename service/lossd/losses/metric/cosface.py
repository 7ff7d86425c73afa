"""CosFace: softmax over cosines with a margin taken off the cosine of the right class."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies, cosines
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import softmax_with


class CosfaceParams(LossParams):
    """Parameters of `cosface`."""

    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")
    margin: float = Field(0.35, ge=0, le=2, description="Taken off the cosine of the right class.")


@loss(
    formula=r"-\log \frac{e^{s (\cos\theta_y - m)}}{e^{s (\cos\theta_y - m)} + "
    r"\sum_{j \neq y} e^{s \cos\theta_j}}",
    source="Wang et al. 2018, arXiv:1801.09414, eq. 4",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="A margin in cosine: no branch, no angle, no kink.",
        use="Face recognition and other open-set identification; also known as AM-Softmax.",
        stability="Smooth wherever the embedding is not zero; a zero vector gets no gradient.",
        data="Many classes, some rows each. rows x classes cosines are made.",
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
def cosface(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: CosfaceParams
) -> Float[Tensor, "rows"]:
    """Cross-entropy over scaled cosines, the right class's less the margin.

    Returns one value per row, in nats, >= 0.
    """
    cosine = cosines(embeddings, proxies)
    own = at_label(cosine, labels) - params.margin
    return softmax_with(params.scale * cosine, params.scale * own, labels)
