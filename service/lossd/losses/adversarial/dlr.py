"""Difference of logits ratio (DLR): a margin that no scaling or shift of the logits changes."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.adversarial._inputs import largest_other


class DlrParams(LossParams):
    """Parameters of `dlr`: none."""


@loss(
    formula=r"-\frac{z_y - \max_{k \ne y} z_k}{z_{\pi_1} - z_{\pi_3}};\quad \text{targeted: }"
    r" -\frac{z_y - z_t}{z_{\pi_1} - (z_{\pi_3} + z_{\pi_4}) / 2}",
    source="Croce and Hein 2020, arXiv:2003.01690, eq. 6 and 7",
    units="1",
    card=Card(
        characteristics="In [-1, 1] untargeted: negative where the answer is right. What an "
        "attack makes large.",
        use="Attacks (AutoAttack) on models whose large logits would hide the gradient of "
        "cross-entropy.",
        stability="Where the logits that it divides by are equal it is undefined: 0 here, without "
        "gradient. Equal logits are ranked by place.",
        data="Three classes or more, targeted four; with fewer, the least logit stands in.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0, 0.2], [0.1, 1.2, 0.3, 0.0]], "labels": [0, 2]}),
)
def dlr(
    logits: FiniteLogits,
    labels: Labels,
    target_labels: Annotated[
        Int[Tensor, "rows *spatial"],
        Arg(doc="The class to be reached, of a targeted attack.", index_of="classes"),
    ]
    | None = None,
    *,
    params: DlrParams,
) -> Float[Tensor, "rows *spatial"]:
    """Minus the label's lead over the best other class, or a target, over a spread of logits.

    Returns one value per item; 0 where the spread is 0.
    """
    order = torch.argsort(logits.detach(), dim=1, descending=True, stable=True)
    last = logits.shape[1] - 1

    def ranked(place: int) -> Tensor:
        return at_label(logits, order[:, min(place, last)])

    if target_labels is None:
        rival, low = largest_other(logits, labels), ranked(2)
    else:
        rival, low = at_label(logits, target_labels), 0.5 * (ranked(2) + ranked(3))
    spread = ranked(0) - low
    flat = spread == 0
    lead = (at_label(logits, labels) - rival).masked_fill(flat, 0.0)
    return -lead / spread.masked_fill(flat, 1.0)
