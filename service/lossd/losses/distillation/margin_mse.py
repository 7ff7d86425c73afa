"""Margin MSE: the teacher's lead of the relevant text over another is the student's target."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class MarginMseParams(LossParams):
    """Parameters of `margin_mse`: none."""


@loss(
    formula=r"\big((s_+ - s_-) - (t_+ - t_-)\big)^2",
    source="Hofstätter et al. 2020, arXiv:2010.02666, eq. 8",
    units="squared scores",
    card=Card(
        characteristics="Only differences of scores count, so student and teacher may score on "
        "levels of their own.",
        use="A retriever that learns from a cross-encoder.",
        stability="Smooth and convex in the student's scores.",
        data="Scores of a query with a relevant text and with another, by both models.",
    ),
    example=Example(
        {
            "positive_scores": [2.0, 1.5],
            "negative_scores": [0.5, 1.2],
            "teacher_positive_scores": [9.0, 7.5],
            "teacher_negative_scores": [6.0, 7.0],
        }
    ),
)
def margin_mse(
    positive_scores: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="The student's scores of relevant texts.", gradient=True),
    ],
    negative_scores: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="The student's scores of other texts.", gradient=True)
    ],
    teacher_positive_scores: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="The teacher's scores of relevant texts.")
    ],
    teacher_negative_scores: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="The teacher's scores of other texts.")
    ],
    *,
    params: MarginMseParams,
) -> Float[Tensor, "rows *rest"]:
    """The squared difference of the student's margin and the teacher's, one value per pair."""
    wanted = teacher_positive_scores - teacher_negative_scores
    return ((positive_scores - negative_scores) - wanted).square()
