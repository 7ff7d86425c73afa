"""Mean absolute error of softmax probabilities: the classic loss that label noise cannot fool."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities, miss_of


class SoftmaxMeanAbsoluteErrorParams(IgnoringParams):
    """Parameters of `softmax_mean_absolute_error`."""

    half: bool = Field(False, description="Whether to take 1 - p, half of the sum over classes.")


@loss(
    formula=r"\sum_k \lvert p_k - t_k \rvert = 2 (1 - p_y),\quad p = \operatorname{softmax}(z)",
    source="Ghosh et al. 2017, arXiv:1712.09482, MAE",
    units="probability",
    weights=counted_item,
    card=Card(
        characteristics="Bounded and symmetric: its sum over all labels is constant, so uniform "
        "label noise of any share moves no minimum. Not convex in the logits.",
        use="Very noisy labels of few classes; generalized_cross_entropy where it does not learn.",
        stability="Gradients are at most 1/2 and vanish on sure wrong items, so training is slow "
        "and may not start.",
        data="Wrong labels, and few classes. It is l1 on probabilities, added up over the classes.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def softmax_mean_absolute_error(
    logits: Logits, labels: IgnorableLabels, *, params: SoftmaxMeanAbsoluteErrorParams
) -> Float[Tensor, "rows *spatial"]:
    """How far the probabilities are from the label's one-hot vector, added up over the classes.

    Returns one value per item, in [0, 2], 0 where ignored.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    factor = 1.0 if params.half else 2.0
    return (factor * miss_of(at_label(log_p, safe))).masked_fill(ignored, 0.0)
