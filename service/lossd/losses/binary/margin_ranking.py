"""Margin ranking loss: of two scores, the right one must be ahead by a margin."""

from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class MarginRankingParams(LossParams):
    """Parameters of `margin_ranking`."""

    margin: float = Field(0.0, ge=0, description="Lead wanted, in score units.")


@loss(
    formula=r"\max(0,\; m - y (a - b))",
    source="Herbrich, Graepel and Obermayer 1999, ICANN, 97-102",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; only the difference of two scores counts.",
        use="Learning to rank from pairs: which of two documents, answers or images is better.",
        stability="Exact to the rounding of the difference. With margin 0 equal scores are a "
        "minimum of it.",
        data="Pairs of which it is known which is better; ties should be left out.",
    ),
    example=Example(
        {"first": [0.5, 2.0, 1.5], "second": [0.3, 1.0, 2.5], "labels": [1, -1, 1]},
        {"margin": 0.5},
    ),
)
def margin_ranking(
    first: Annotated[Float[Tensor, "rows *rest"], Arg(doc="Scores a.", gradient=True)],
    second: Annotated[Float[Tensor, "rows *rest"], Arg(doc="Scores b.", gradient=True)],
    labels: Annotated[
        Int[Tensor, "rows *rest"],
        Arg(doc="1: the first is to be ahead; -1: the second.", values=(-1, 1)),
    ],
    *,
    params: MarginRankingParams,
) -> Float[Tensor, "rows *rest"]:
    """How far the better score is from being ahead by the margin, one value per pair, >= 0.

    The subgradient at the kink is 0, as in hinge, of which it is the value at the difference.
    """
    return positive_part(params.margin - labels * (first - second))
