"""Dual focal loss: focal that also looks at the best class behind the right one."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, counted, is_ignored, log_softmax_counted, power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.calibration._confidence import focal_value, missed


class DualFocalParams(LossParams):
    """Parameters of `dual_focal`."""

    gamma: float = Field(5.0, ge=0, le=16, description="Focus, unitless. 0 is cross-entropy.")
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(params: DualFocalParams, labels: Int[Tensor, "rows *spatial"]) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-(1 - p_y + p_j)^\gamma \log p_y,\quad p_j = \max \{p_k : p_k < p_y\}",
    source="Tao, Dong and Xu 2023, arXiv:2305.13665, DFL",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Keeps the gap to the next class open, where plain focal ends "
        "under-confident; not convex, and jumps where another class becomes the next.",
        use="Calibrated networks where focal makes them too unsure.",
        stability="As focal; 1 - p is taken as -expm1(log p).",
        data="Clean labels, three classes or more.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def dual_focal(
    logits: Logits, labels: IgnorableLabels, *, params: DualFocalParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy times the gamma-th power of 1 less the lead over the next class below.

    Where no class is below the right one, its part is 0. The first of tied classes takes the
    gradient.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(logits, ignored)
    log_p_y = at_label(log_p, labels.masked_fill(ignored, 0))
    behind = log_p.masked_fill(log_p >= log_p_y.unsqueeze(1), -torch.inf)
    next_p = at_label(behind, behind.argmax(1)).exp()
    value = focal_value(log_p_y, power(missed(log_p_y) + next_p, params.gamma))
    return value.masked_fill(ignored, 0.0)
