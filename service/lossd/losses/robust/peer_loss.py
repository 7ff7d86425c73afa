"""Peer loss: an item's loss, less that of a prediction and a label that do not belong together."""

from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import at_label
from lossd.losses._spec import Arg, Card, Example
from lossd.losses.robust._terms import log_probabilities


class PeerLossParams(IgnoringParams):
    """Parameters of `peer_loss`."""

    alpha: float = Field(
        1.0, ge=0, le=100, description="Factor of the peer term; 1 for classes of equal size."
    )


@loss(
    formula=r"-\log p_y + \alpha \log p'_{y'},\quad p = \operatorname{softmax}(z),\ "
    r"p' = \operatorname{softmax}(z')",
    source="Liu and Guo 2020, arXiv:1910.03231, with its weight alpha",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Its mean is, up to a factor, that of clean labels, with no noise rates "
        "known. Not bounded below.",
        use="Noisy labels of unknown rates, after some epochs of cross_entropy.",
        stability="A peer that the model gives little probability pays without end; small alpha, "
        "or one that grows, keeps it in check.",
        data="Peers are drawn by the caller, anew in every step: the prediction for one random "
        "item, and the label of another.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "peer_logits": [[0.1, 1.2, 0.3], [2.0, 0.5, -1.0]],
            "peer_labels": [0, 2],
        },
        {"alpha": 0.5},
    ),
)
def peer_loss(
    logits: FiniteLogits,
    labels: IgnorableLabels,
    peer_logits: Annotated[
        Float[Tensor, "rows classes *spatial"],
        Arg(doc="Raw scores of another item, drawn at random.", gradient=True),
    ],
    peer_labels: Annotated[
        Int[Tensor, "rows *spatial"],
        Arg(doc="Class of a third item, drawn at random.", index_of="classes"),
    ],
    *,
    params: PeerLossParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy, less alpha times that of a mismatched pair.

    Returns one value per item, in nats, of either sign, 0 where the item is ignored; a peer label
    that is ignored leaves the plain cross-entropy.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    log_q, peer, no_peer = log_probabilities(peer_logits, peer_labels, params.ignore_index)
    bonus = params.alpha * at_label(log_q, peer).masked_fill(no_peer, 0.0)
    return (bonus - at_label(log_p, safe)).masked_fill(ignored, 0.0)
