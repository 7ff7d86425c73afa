"""Distribution focal loss: a real number told as a distribution over bins, by its two nearest."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits
from lossd.losses._ops import at_label, log_softmax
from lossd.losses._spec import Arg, Card, Example, LossParams


class DistributionFocalParams(LossParams):
    """`distribution_focal` has no parameters."""


@loss(
    formula=r"-(i + 1 - y) \log p_i - (y - i) \log p_{i + 1},\quad i = \lfloor y \rfloor,"
    r"\quad p = \operatorname{softmax}(z)",
    source="Li et al. 2020, arXiv:2006.04388, DFL",
    units="nats",
    card=Card(
        characteristics="Cross-entropy of two neighbouring bins, whose expectation is the target.",
        use="Box edges of detectors as distributions, with a box loss on the expectation; any "
        "bounded number whose uncertainty matters.",
        stability="Log-softmax: stable for any finite logits.",
        data="Targets in units of bins, from 0 to the last; the bins must span their range.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [0.25, 1.5]}),
)
def distribution_focal(
    logits: FiniteLogits,
    targets: Annotated[
        Float[Tensor, "rows *spatial"],
        Arg(doc="True position of each item, in bins from 0 to classes - 1.", low=0),
    ],
    *,
    params: DistributionFocalParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of the bins on both sides of the target, each by how near it is.

    A target beyond the last bin counts as the last bin.

    Returns one value per item, in nats, >= 0: at its least the entropy of the two shares.
    """
    last = logits.shape[1] - 1
    position = targets.clamp(max=float(last)).to(logits.dtype)
    left = position.floor().long()
    right = (left + 1).clamp(max=last)
    share = position - left
    log_p = log_softmax(logits)
    return -(1.0 - share) * at_label(log_p, left) - share * at_label(log_p, right)
