"""Partial labels: each item comes with several classes of which one is true."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Logits
from lossd.losses._ops import log_sum_exp, times_log
from lossd.losses._spec import Arg, Card, Example, LossParams


class PartialLabelParams(LossParams):
    """Parameters of `partial_label`."""

    kind: Literal["classifier_consistent", "progressive"] = Field(
        "classifier_consistent",
        description="Minus the log of the candidates' probability; or their cross-entropies, by "
        "`confidences`, or else by the prediction's own, without a gradient.",
    )


@loss(
    formula=r"\text{consistent: } -\log \sum_{k \in S} p_k;\quad \text{progressive: } "
    r"-\sum_{k \in S} w_k \log p_k,\ w_k = p_k / \textstyle\sum_{j \in S} p_j",
    source="classifier-consistent: Feng et al. 2020, arXiv:2007.08929; progressive (PRODEN): Lv et "
    "al. 2020, arXiv:2002.08053; by confidences also the risk-consistent loss of Feng et al.",
    units="nats",
    card=Card(
        characteristics="Both have the gradient p - w; classifier_consistent has the value of a "
        "likelihood, progressive that of a weighted cross-entropy.",
        use="Ambiguous annotation, crowds, weak supervision: candidates instead of one label.",
        stability="Added up in logarithms, so that candidates may be very improbable.",
        data="Candidate sets that hold the true class. With confidences kept from epoch to epoch "
        "the true one is found progressively.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "candidates": [[1, 1, 0], [0, 1, 1]],
        }
    ),
)
def partial_label(
    logits: Logits,
    candidates: Annotated[
        Int[Tensor, "rows classes *spatial"],
        Arg(doc="1: the class may be the true one; 0: it is not.", values=(0, 1)),
    ],
    confidences: Annotated[
        Float[Tensor, "rows classes *spatial"],
        Arg(doc="Of progressive: weight of each class; only candidates count.", low=0),
    ]
    | None = None,
    *,
    params: PartialLabelParams,
) -> Float[Tensor, "rows *spatial"]:
    """What a prediction costs of which only candidates are known.

    Returns one value per item, in nats, >= 0; +inf, with no gradient, where no candidate is
    possible. Confidences need not sum to 1, and are of no consequence for classifier_consistent.
    """
    log_p = torch.log_softmax(logits, 1)
    inside = candidates == 1
    among = log_p.masked_fill(~inside, -torch.inf)
    nowhere = (among == -torch.inf).all(1)
    total = log_sum_exp(among.masked_fill(nowhere.unsqueeze(1), 0.0), 1)
    if params.kind == "classifier_consistent":
        return -total.masked_fill(nowhere, -torch.inf)
    if confidences is None:
        weights = (among.detach() - total.detach().unsqueeze(1)).exp()
    else:
        weights = confidences.masked_fill(~inside, 0.0)
    value = -times_log(weights.masked_fill(nowhere.unsqueeze(1), 0.0), log_p).sum(1)
    return value.masked_fill(nowhere, torch.inf)
