"""Early-learning regularization (ELR): stay near what the model said before it fitted noise."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._ops import at_label, is_ignored, log_softmax_counted
from lossd.losses._spec import Arg, Card, Example


class EarlyLearningRegularizationParams(IgnoringParams):
    """Parameters of `early_learning_regularization`."""

    coefficient: float = Field(3.0, ge=0, le=1e3, description="Factor of the regularizer.")
    momentum: float = Field(
        0.7, ge=0, le=1, description="Share of the old target in the running mean."
    )
    eps: float = Field(
        1e-4, ge=1e-12, le=1, description="Added in the logarithm, which it bounds by log eps."
    )


def state(
    params: EarlyLearningRegularizationParams,
    logits: Tensor,
    labels: Tensor,
    running_probabilities: Tensor | None = None,
) -> dict[str, Tensor]:
    """`running_probabilities`: the running mean of each item's; an ignored item's stays."""
    ignored = is_ignored(labels, params.ignore_index)
    p = log_softmax_counted(logits, ignored).exp()
    old = torch.zeros_like(p) if running_probabilities is None else running_probabilities
    new = params.momentum * old + (1.0 - params.momentum) * p
    return {"running_probabilities": torch.where(ignored.unsqueeze(1), old, new)}


@loss(
    formula=r"-\log p_y + \lambda \log\left( 1 - \langle t, p \rangle + \epsilon \right),\quad "
    r"t = \beta\, t_{\text{old}} + (1 - \beta)\, p\ \text{(constant)}",
    source="Liu et al. 2020, arXiv:2007.00151, section 4, temporal ensembling",
    units="nats",
    weights=counted_item,
    state=state,
    card=Card(
        characteristics="cross_entropy, and a reward for agreeing with the running mean of one's "
        "own predictions, which wrong labels do not reach early on. Of either sign.",
        use="Noisy labels and many epochs; the running means are kept by the caller, item by item.",
        stability="The running mean has no gradient. Without eps the reward grows without end; the "
        "authors' code clips probabilities into [1e-4, 1 - 1e-4] instead.",
        data="The same items again in each epoch, so that each has a running mean: send the rows "
        "of this batch's items, and write the new ones back.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "running_probabilities": [[0.7, 0.2, 0.1], [0.1, 0.7, 0.2]],
        }
    ),
)
def early_learning_regularization(
    logits: Annotated[
        Float[Tensor, "rows classes"],
        Arg(
            doc="Raw scores; -inf marks a class that cannot be.",
            gradient=True,
            minus_infinity=True,
        ),
    ],
    labels: Annotated[
        Int[Tensor, "rows"],
        Arg(doc="Class of each item, or `ignore_index`.", index_of="classes"),
    ],
    running_probabilities: Annotated[
        Float[Tensor, "rows classes"],
        Arg(doc="Each item's running mean, 0 if absent.", low=0, high=1, role="state"),
    ]
    | None = None,
    *,
    params: EarlyLearningRegularizationParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy, and the log of the disagreement with the running mean.

    The running mean holds this call's prediction already. Returns one value per item, in nats, 0
    where ignored; +inf where the label's logit is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(logits, ignored)
    with torch.no_grad():
        target = state(params, logits, labels, running_probabilities)["running_probabilities"]
    # 1 - <t, p>, which is this sum as p adds up to 1, without losing what is small.
    apart = ((1.0 - target) * log_p.exp()).sum(1)
    value = params.coefficient * torch.log(apart + params.eps)
    own = at_label(log_p, labels.masked_fill(ignored, 0))
    return (value - own).masked_fill(ignored, 0.0)
