"""Cost-sensitive losses: some confusions of classes cost more than others."""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, is_ignored, log_softmax_counted, log_sum_exp
from lossd.losses._spec import Arg, Card, Example


class CostSensitiveParams(IgnoringParams):
    """Parameters of `cost_sensitive`."""

    kind: Literal["expected_cost", "softmax_margin"] = Field(
        "expected_cost",
        description="The mean cost of an answer drawn from the softmax, or cross-entropy with the "
        "cost of each answer added to its logit.",
    )


@loss(
    formula=r"\text{expected cost: } \sum_k c_{yk}\, p_k;\quad "
    r"\text{softmax margin: } -z_y + \log \textstyle\sum_k e^{z_k + c_{yk}}",
    source="Elkan 2001, The foundations of cost-sensitive learning, eq. 1; softmax margin: Gimpel "
    "and Smith 2010, Softmax-margin CRFs",
    units="units of the costs; nats for softmax margin",
    weights=counted_item,
    card=Card(
        characteristics="expected_cost is bounded and not convex; softmax_margin is convex and an "
        "upper bound of the cost of the best answer, where right answers cost 0.",
        use="Confusions of known, unequal cost. softmax_margin to train, expected_cost to "
        "fine-tune or to judge.",
        stability="expected_cost has vanishing gradients on sure wrong items. Costs of "
        "softmax_margin add to logits: scale them to a few units.",
        data="A matrix of costs >= 0, by true class and answer; the diagonal is 0 as a rule.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "costs": [[0, 1, 1], [1, 0, 1], [5, 2, 0]],
        }
    ),
)
def cost_sensitive(
    logits: Logits,
    labels: IgnorableLabels,
    costs: Annotated[
        Float[Tensor, "classes classes"],
        Arg(doc="Cost of answering the second class where the first is true.", low=0),
    ],
    *,
    params: CostSensitiveParams,
) -> Float[Tensor, "rows *spatial"]:
    """What an item's answer costs.

    Returns one value per item, 0 where ignored. Of softmax_margin it is +inf where the label's
    logit is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    cost = costs[safe].movedim(-1, 1)
    log_p = log_softmax_counted(logits, ignored)
    if params.kind == "expected_cost":
        return (cost * log_p.exp()).sum(1).masked_fill(ignored, 0.0)
    value = log_sum_exp(log_p + cost, 1) - at_label(log_p, safe)
    return value.masked_fill(ignored, 0.0)
