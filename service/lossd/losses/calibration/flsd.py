"""FLSD-53: focal loss whose focus depends on the sample, for calibrated probabilities."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, counted, is_ignored, log_softmax_counted, power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import focal_value, missed


class FlsdParams(LossParams):
    """Parameters of `flsd`."""

    gamma_below: float = Field(5.0, ge=0, le=16, description="Focus below the threshold.")
    gamma_above: float = Field(3.0, ge=0, le=16, description="Focus from the threshold on.")
    threshold: float = Field(
        0.2, ge=0, le=1, description="Probability of the right class where the focus changes."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(params: FlsdParams, labels: Int[Tensor, "rows *spatial"]) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-(1 - p_y)^{\gamma(p_y)} \log p_y,\quad \gamma = 5 \text{ if } p_y < 0.2 "
    r"\text{ else } 3",
    source="Mukhoti et al. 2020, arXiv:2002.09437, section 4, FLSD-53",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Focal with a stronger focus where the right class is unlikely; the value "
        "jumps at the threshold, and is not convex.",
        use="Networks that are to be calibrated as trained, without temperature scaling after.",
        stability="As focal. A jump has no gradient: the threshold decides on a constant p.",
        data="Clean labels; hard wrong labels get the largest weight.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def flsd(
    logits: Logits, labels: IgnorableLabels, *, params: FlsdParams
) -> Float[Tensor, "rows *spatial"]:
    """Focal loss whose gamma is picked by the probability of the right class.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = at_label(log_softmax_counted(logits, ignored), labels.masked_fill(ignored, 0))
    miss = missed(log_p)
    modulation = torch.where(
        log_p.detach().exp() < params.threshold,
        power(miss, params.gamma_below),
        power(miss, params.gamma_above),
    )
    return focal_value(log_p, modulation).masked_fill(ignored, 0.0)
