"""Multilabel margin loss: every label of a row must stay a margin ahead of every other class."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import MultiLabels, RowLogits
from lossd.losses._spec import Card, Example, LossParams


class MultilabelMarginParams(LossParams):
    """Parameters of `multilabel_margin`."""

    margin: float = Field(1.0, ge=0, description="Lead wanted of each label, in score units.")
    divide_by_classes: bool = Field(
        True, description="Divide by the number of classes, as torch does; else the plain sum."
    )


@loss(
    formula=r"\frac{1}{C} \sum_{i \in Y} \sum_{j \notin Y} \max(0,\; m + z_j - z_i)",
    source="Crammer and Singer 2003, JMLR 3, 1025-1058, all pairs; torch's multilabel_margin_loss",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; it ranks the labels above all other classes, "
        "and sets no threshold between them.",
        use="Tagging where the order of the classes is what counts.",
        stability="Exact for finite scores: pairs are counted by sorting, in float64, and not "
        "made, so that many classes cost no square of memory.",
        data="Rows with labels and with other classes; a row of all or of none costs 0.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [[1, 0, 1], [0, 0, 1]]}
    ),
)
def multilabel_margin(
    logits: RowLogits, targets: MultiLabels, *, params: MultilabelMarginParams
) -> Float[Tensor, "rows"]:
    """Sum over the labels and the other classes of how far each pair is from the margin.

    The subgradient at a kink is 0. torch takes the labels as a list of classes that ends in -1;
    here they are 0 and 1.

    Returns one value per row, >= 0.
    """
    labelled = targets == 1
    wide = logits.double()
    # The margin is a matter of differences, so the row may be moved to where sums keep digits.
    wide = wide - wide.detach().amax(1, keepdim=True) if wide.numel() else wide
    others = wide.masked_fill(labelled, -torch.inf).sort(dim=1, descending=True).values
    total = others.masked_fill(others == -torch.inf, 0.0).cumsum(1)
    total = torch.cat((torch.zeros_like(total[:, :1]), total), dim=1)
    bound = wide - params.margin
    # How many of the other classes are above each bound: searched in ascending order.
    ascending = others.detach().flip(1).contiguous()
    not_above = torch.searchsorted(ascending, bound.detach().contiguous(), right=True)
    count = ascending.shape[1] - not_above
    violation = total.gather(1, count) - count * bound
    value = violation.masked_fill(~labelled, 0.0).sum(1)
    if params.divide_by_classes:
        value = value / max(logits.shape[1], 1)
    return value.to(logits.dtype)
