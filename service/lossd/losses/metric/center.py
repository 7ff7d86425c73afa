"""Center loss: half the squared distance of each row to the center of its class."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import ClassLabels, Embeddings
from lossd.losses._spec import Arg, Card, Example, LossParams


class CenterParams(LossParams):
    """Parameters of `center`: none."""


@loss(
    formula=r"\tfrac{1}{2} \lVert x - c_y \rVert_2^2",
    source="Wen et al. 2016, ECCV, A Discriminative Feature Learning Approach, eq. 2",
    units="squared distance",
    card=Card(
        characteristics="Draws classes together, and nothing apart.",
        use="Beside a softmax loss, at a weight of 0.001 to 0.1: alone, all collapses to a point.",
        stability="Quadratic: outliers pull hard. The paper moves a center by the mean over its "
        "rows, plus 1 in the count; the gradient here is their sum.",
        data="Labelled classes; centers are inputs, whose gradient is answered too.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "centers": [[0.8, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        }
    ),
)
def center(
    embeddings: Embeddings,
    centers: Annotated[
        Float[Tensor, "classes features"], Arg(doc="The center of each class.", gradient=True)
    ],
    labels: ClassLabels,
    *,
    params: CenterParams,
) -> Float[Tensor, "rows"]:
    """Half the squared Euclidean distance to the center of a row's own class.

    Returns one value per row, >= 0.
    """
    return 0.5 * (embeddings - centers[labels]).square().sum(1)
