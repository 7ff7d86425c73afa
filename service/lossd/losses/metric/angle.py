"""AnglE: pairs are to be ordered as graded, by an angle that does not saturate."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._rankings import Grades, angle_similarity, order_loss


class AngleParams(LossParams):
    """Parameters of `angle`."""

    scale: float = Field(
        20.0, gt=0, le=1e6, description="What differences of similarity are multiplied by."
    )


@loss(
    formula=r"\log\left(1 + \sum_{y_i < y_j} e^{\lambda (a_i - a_j)}\right), \quad a = \left| "
    r"\cos\theta + \sum_k (\Im x_k \Re y_k - \Re x_k \Im y_k) \right|",
    source="Li and Li 2023, arXiv:2309.12871, section 3.4, as in its reference code",
    units="nats",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="CoSENT with another similarity, whose gradient does not vanish where "
        "the cosine's does.",
        use="Sentence embeddings, beside cosent or info_nce; alone it was not meant.",
        stability="Log-sum-exp. The similarity is of no ordinary angle; its absolute value has a "
        "kink at 0.",
        data="Pairs with a grade, at least two different ones per batch; with one, the value is 0.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.2], [0.5, -0.5], [0.6, 0.8]],
            "grades": [0.2, 0.9, 0.5],
        }
    ),
)
def angle(
    left: Embeddings, right: Partners, grades: Grades, *, params: AngleParams
) -> Float[Tensor, ""]:
    """Log of 1 and the sum over all two pairs of e to the scaled excess of the lower graded one.

    Returns one value for the batch, in nats, >= 0.
    """
    similarity = angle_similarity(direction(left), direction(right))
    return order_loss(similarity, grades, params.scale)
