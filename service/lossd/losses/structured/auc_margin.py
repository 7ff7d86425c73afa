"""AUC margin loss: the area under the ROC curve as a min-max problem of means, row by row."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores
from lossd.losses._spec import Arg, Card, Example, LossParams

_NUMBER = Float[Tensor, ""]


class AucMarginParams(LossParams):
    """Parameters of `auc_margin`."""

    margin: float = Field(1.0, ge=0, description="Lead wanted of positives, in score units.")


@loss(
    formula=r"(1 - \pi) (s - a)^2 \text{ or } \pi (s - b)^2,\quad \text{plus } 2 \alpha \left("
    r"\pi (1 - \pi) m + \pi s [y = 0] - (1 - \pi) s [y = 1]\right) - \pi (1 - \pi) \alpha^2",
    source="Yuan et al. 2021, arXiv:2012.03173, eq. 7",
    units="squared score units",
    card=Card(
        characteristics="Convex in scores, a and b, concave in alpha: descend in the former and "
        "ascend in alpha, kept >= 0. At the optimum it is a squared hinge between class means.",
        use="Training for AUC on imbalanced data, in small batches: no pairs are made.",
        stability="Exact for finite scores; squares overflow float32 above 1e19. Scores in [0, 1] "
        "are usual.",
        data="Binary labels with a known share of positives, however small.",
    ),
    example=Example(
        {
            "scores": [0.9, 0.2, 0.4],
            "is_positive": [1, 0, 0],
            "positive_mean": 0.7,
            "negative_mean": 0.3,
            "alpha": 0.5,
            "positive_share": 0.1,
        }
    ),
)
def auc_margin(
    scores: Scores,
    is_positive: Annotated[
        Int[Tensor, "rows *rest"], Arg(doc="1: a positive; 0: a negative.", values=(0, 1))
    ],
    positive_mean: Annotated[_NUMBER, Arg(doc="a, learned: positives' mean.", gradient=True)],
    negative_mean: Annotated[_NUMBER, Arg(doc="b, learned: negatives' mean.", gradient=True)],
    alpha: Annotated[_NUMBER, Arg(doc="The dual variable, to be ascended.", gradient=True)],
    positive_share: Annotated[
        _NUMBER, Arg(doc="pi, the share of positives in the data.", low=0, high=1)
    ],
    *,
    params: AucMarginParams,
) -> Float[Tensor, "rows *rest"]:
    """What a score adds to the min-max objective, one value per element; it may be negative.

    The gradient of alpha is that of the value, so it points where the value grows.
    """
    share = positive_share
    both = share * (1.0 - share)
    positive = (1.0 - share) * ((scores - positive_mean).square() - 2.0 * alpha * scores)
    negative = share * ((scores - negative_mean).square() + 2.0 * alpha * scores)
    constant = both * alpha * (2.0 * params.margin - alpha)
    return torch.where(is_positive == 1, positive, negative) + constant
