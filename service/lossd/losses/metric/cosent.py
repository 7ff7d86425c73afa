"""CoSENT: pairs of sentences are to be ordered by cosine as they are by grade."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._rankings import Grades, order_loss


class CosentParams(LossParams):
    """Parameters of `cosent`."""

    scale: float = Field(
        20.0, gt=0, le=1e6, description="What differences of similarity are multiplied by."
    )


@loss(
    formula=r"\log\left(1 + \sum_{y_i < y_j} e^{\lambda (\cos\theta_i - \cos\theta_j)}\right)",
    source="Su 2022, CoSENT, kexue.fm/archives/8847; as in sentence-transformers CoSENTLoss",
    units="nats",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Learns from the order of grades alone, by every two pairs at once.",
        use="Sentence embeddings from graded or labelled pairs, in place of regressing the cosine.",
        stability="Log-sum-exp. A zero vector has cosine 0 and no gradient.",
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
def cosent(
    left: Embeddings, right: Partners, grades: Grades, *, params: CosentParams
) -> Float[Tensor, ""]:
    """Log of 1 and the sum over all two pairs of e to the scaled excess of the lower graded one.

    Returns one value for the batch, in nats, >= 0.
    """
    cosine = (direction(left) * direction(right)).sum(1)
    return order_loss(cosine, grades, params.scale)
