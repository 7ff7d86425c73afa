"""Negative learning (NLNL): a label that the item does not have must be improbable."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import Logits
from lossd.losses._spec import Arg, Card, Example
from lossd.losses.robust._terms import log_miss, log_probabilities

ComplementaryLabels = Annotated[
    Int[Tensor, "rows *spatial"],
    Arg(doc="A class that the item is not of, or `ignore_index`.", index_of="classes"),
]


class NegativeLearningParams(IgnoringParams):
    """Parameters of `negative_learning`."""


@loss(
    formula=r"-\log(1 - p_{\bar y}),\quad p = \operatorname{softmax}(z)",
    source="Kim et al. 2019, arXiv:1908.07387, eq. 2",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Pushes one class down and says nothing of the others. Unbounded where a "
        "class that is excluded was sure.",
        use="A first phase on noisy labels: random other classes are seldom the true one. Selected "
        "items then go to cross_entropy.",
        stability="1 - p is added up from the other classes in logarithms, so it may be tiny.",
        data="Complementary labels: drawn from the classes that an item is not labelled as, or "
        "given. Many classes need many of them per item.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [1, 0]}),
)
def negative_learning(
    logits: Logits, labels: ComplementaryLabels, *, params: NegativeLearningParams
) -> Float[Tensor, "rows *spatial"]:
    """Minus the log of the probability that the item is of any class but the label's.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf, with no gradient, where no
    other class is possible.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    return -log_miss(log_p, safe).masked_fill(ignored, 0.0)
