"""Cosine distance of a prediction to its target: 1 less the cosine of their angle."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._spec import Arg, Card, Example, LossParams


class CosineDistanceParams(LossParams):
    """Parameters of `cosine_distance`: none."""


@loss(
    formula=r"1 - \frac{\langle x, y \rangle}{\lVert x \rVert \lVert y \rVert}",
    source="Standard; as optax.cosine_distance. Keras' CosineSimilarity is this less 1",
    units="1 - cosine, from 0 to 2",
    card=Card(
        characteristics="Compares directions and ignores lengths.",
        use="Regressing embeddings of a teacher, word vectors, normals.",
        stability="The gradient grows as 1 / length, and is 0 for a zero vector. It vanishes at "
        "opposite directions too, where the distance is 2.",
        data="Pairs of vectors whose lengths mean nothing.",
    ),
    example=Example({"prediction": [[1.0, 0.0], [0.5, 0.5]], "target": [[0.8, 0.6], [0.0, 1.0]]}),
)
def cosine_distance(
    prediction: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Predicted vectors.", gradient=True)
    ],
    target: Annotated[Float[Tensor, "rows features"], Arg(doc="True vectors.", gradient=True)],
    *,
    params: CosineDistanceParams,
) -> Float[Tensor, "rows"]:
    """1 - cosine of the angle between prediction and target.

    A zero vector has cosine 0 with anything, and no gradient.

    Returns one value per row, from 0 to 2.
    """
    return 1.0 - (direction(prediction) * direction(target)).sum(1)
