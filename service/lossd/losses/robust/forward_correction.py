"""Forward correction: the prediction is passed through the noise before it meets the label."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import log_sum_exp
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities
from lossd.losses.robust._transition import Transition


class ForwardCorrectionParams(IgnoringParams):
    """Parameters of `forward_correction`."""


@loss(
    formula=r"-\log \sum_k p_k T_{ky},\quad p = \operatorname{softmax}(z)",
    source="Patrini et al. 2017, arXiv:1609.03683, theorem 2",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Cross-entropy of the noisy label. Its minimum over all predictions is "
        "that of clean labels, if T is right and invertible.",
        use="Label noise whose confusion matrix is known or estimated; steadier than "
        "backward_correction.",
        stability="Added up in logarithms. Where the noise cannot make the label it is +inf.",
        data="A row-stochastic matrix T: row = true class, column = observed label.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "transition": [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.0, 0.8]],
        }
    ),
)
def forward_correction(
    logits: Logits,
    labels: IgnorableLabels,
    transition: Transition,
    *,
    params: ForwardCorrectionParams,
) -> Float[Tensor, "rows *spatial"]:
    """Minus the log of the probability that the noisy label is what was observed.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf, with no gradient, where no
    class that is possible can be observed as the label.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    joint = log_p + transition.T.log()[safe].movedim(-1, 1)
    nowhere = (joint == -torch.inf).all(1)
    value = -log_sum_exp(joint.masked_fill(nowhere.unsqueeze(1), 0.0), 1)
    return value.masked_fill(nowhere, torch.inf).masked_fill(ignored, 0.0)
