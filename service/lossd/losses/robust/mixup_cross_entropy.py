"""Mixup cross-entropy: an item that was mixed of two pays for both labels, by their shares."""

from typing import Annotated

from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, is_ignored, times_log
from lossd.losses._spec import Arg, Card, Example
from lossd.losses.robust._terms import log_probabilities


class MixupCrossEntropyParams(IgnoringParams):
    """Parameters of `mixup_cross_entropy`."""


@loss(
    formula=r"-\lambda \log p_y - (1 - \lambda) \log p_{y'},\quad p = \operatorname{softmax}(z)",
    source="Zhang et al. 2017, arXiv:1710.09412; CutMix: Yun et al. 2019, arXiv:1905.04899",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="cross_entropy of a target of two classes, linear in the share.",
        use="Training on mixed inputs (mixup, CutMix), which fits wrong labels less.",
        stability="As cross_entropy. A share of 0 or 1 leaves one label, whatever the other costs.",
        data="Two labels per item and the share of the first, of the mixture that made the input.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "mixed_labels": [1, 2],
            "share": [0.7, 0.4],
        }
    ),
)
def mixup_cross_entropy(
    logits: Logits,
    labels: IgnorableLabels,
    mixed_labels: Annotated[
        Int[Tensor, "rows *spatial"],
        Arg(doc="Class of what was mixed in.", index_of="classes"),
    ],
    share: Annotated[
        Float[Tensor, "rows"], Arg(doc="Share of `labels` in the mixture.", low=0, high=1)
    ],
    *,
    params: MixupCrossEntropyParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropies of two labels, mixed as the input was.

    Returns one value per item, in nats, >= 0, 0 where ignored; an ignored mixed label adds nothing.
    +inf where a label of some share has a logit of -inf.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    absent = is_ignored(mixed_labels, params.ignore_index)
    share = share.view(-1, *([1] * (labels.ndim - 1)))
    own = times_log(share, at_label(log_p, safe))
    other = times_log(1.0 - share, at_label(log_p, mixed_labels.masked_fill(absent, 0)))
    return -(own + other.masked_fill(absent, 0.0)).masked_fill(ignored, 0.0)
