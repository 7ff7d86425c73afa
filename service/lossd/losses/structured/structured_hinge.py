"""Structured hinge: the right output must lead every other by what confusing them costs."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._spec import Arg, Card, Example, LossParams


class StructuredHingeParams(LossParams):
    """Parameters of `structured_hinge`."""

    rescaling: Literal["margin", "slack"] = Field(
        "margin", description="Whether a cost is the lead that is wanted, or a factor of the hinge."
    )


@loss(
    formula=r"\max_j\; \Delta_j + s_j - s_y \quad\text{or, of slack,}\quad "
    r"\max_j\; \Delta_j (1 + s_j - s_y)",
    source="Taskar, Guestrin and Koller 2003, NIPS 16; slack: Tsochantaridis et al. 2005, JMLR 6, "
    "1453-1484, eqs. 10 and 12",
    units="cost units",
    card=Card(
        characteristics="Convex, piecewise linear, and never below the cost of the best-scored "
        "output; only the worst offender gets a gradient.",
        use="Structured prediction over a list of candidates: parses, sequences, boxes, or classes "
        "of unequal cost.",
        stability="Exact for any finite scores. With slack a cost of 0 is never paid.",
        data="Candidates with their scores and costs; the list must hold the hard ones.",
    ),
    example=Example(
        {
            "scores": [[2.0, 1.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "costs": [[0.0, 1.0, 2.0], [0.5, 1.5, 0.0]],
        }
    ),
)
def structured_hinge(
    scores: Annotated[
        Float[Tensor, "rows candidates"], Arg(doc="Score of each candidate.", gradient=True)
    ],
    labels: Annotated[
        Int[Tensor, "rows"], Arg(doc="Which candidate is right.", index_of="candidates")
    ],
    costs: Annotated[
        Float[Tensor, "rows candidates"],
        Arg(doc="What each candidate costs if chosen, 1 if absent; 0 counts for the right.", low=0),
    ]
    | None = None,
    *,
    params: StructuredHingeParams,
) -> Float[Tensor, "rows"]:
    """The most that a wrong candidate is short of staying its cost behind the right one.

    The first of tied candidates takes the gradient; where nothing is short it is 0.

    Returns one value per row, >= 0.
    """
    right = at_label(scores, labels)
    price = torch.ones_like(scores) if costs is None else costs
    ahead = scores - right.unsqueeze(1)
    short = price + ahead if params.rescaling == "margin" else price * (1.0 + ahead)
    short = short.scatter(1, labels.unsqueeze(1), 0.0)
    return torch.relu(at_label(short, short.argmax(1)))
