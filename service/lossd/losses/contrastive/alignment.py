"""Alignment: how far the directions of partners are from each other."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, distance, power
from lossd.losses._pairs import Embeddings, Partners
from lossd.losses._spec import Card, Example, LossParams


class AlignmentParams(LossParams):
    """Parameters of `alignment`."""

    exponent: float = Field(2.0, ge=1, le=16, description="alpha: power of the distance.")


@loss(
    formula=r"\left\lVert \frac{x}{\lVert x \rVert} - \frac{y}{\lVert y \rVert} "
    r"\right\rVert_2^\alpha",
    source="Wang and Isola 2020, arXiv:2005.10242, eq. 4",
    units="distance to the power",
    card=Card(
        characteristics="One half of what contrastive losses do: partners together.",
        use="With uniformity, in place of info_nce, or to watch one.",
        stability="Bounded; at distance 0 the gradient is 0. Alone it collapses.",
        data="Pairs.",
    ),
    example=Example({"left": [[1.0, 0.0], [0.5, 0.5]], "right": [[0.8, 0.6], [0.0, 1.0]]}),
)
def alignment(
    left: Embeddings, right: Partners, *, params: AlignmentParams
) -> Float[Tensor, "rows"]:
    """Distance of the directions of a pair, to the power.

    Returns one value per pair, >= 0.
    """
    return power(distance(direction(left), direction(right)), params.exponent)
