"""Softmax focal loss: cross-entropy that stops caring about items the model already gets right."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, counted, is_ignored, log_softmax_counted, power, times_log
from lossd.losses._spec import Arg, Card, Example, LossParams, SoftmaxRecipe


class FocalParams(LossParams):
    """Parameters of `focal`."""

    gamma: float = Field(2.0, ge=0, le=16, description="Focus, unitless. 0 is cross-entropy.")
    ignore_index: int | None = Field(None, description="Label of items that do not count.")
    modulation_gradient: Literal["full", "detached"] = Field(
        "full", description="Whether the gradient flows through (1 - p)^gamma too."
    )


def weight_of_item(params: FocalParams, labels: Int[Tensor, "rows *spatial"]) -> Tensor:
    """1 for an item that counts, 0 for an ignored one; alpha is no part of the denominator."""
    return counted(labels, params.ignore_index)


def slope_of_item(
    logits: Logits,
    labels: Int[Tensor, "rows *spatial"],
    params: FocalParams,
    alpha: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """Minus the derivative of the value by the log of the right class's probability."""
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    log_p = at_label(log_softmax_counted(logits.detach(), ignored), safe).requires_grad_()
    alpha_y = None if alpha is None else alpha[safe]
    with torch.enable_grad():
        total = _value(log_p, alpha_y, params).masked_fill(ignored, 0.0).sum()
    return -torch.autograd.grad(total, log_p)[0]


@loss(
    formula=r"-\alpha_y (1 - p_y)^\gamma \log p_y,\quad p = \operatorname{softmax}(z)",
    source="Lin et al. 2017, arXiv:1708.02002, eq. 5, with softmax in place of sigmoid",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Down-weights items of high confidence; not convex, not a proper score.",
        use="Many easy items and few hard ones, one label per item; sigmoid_focal for detectors.",
        stability="1 - p is taken as -expm1(log p). Where it is 0 value and gradient are 0.",
        data="Strong imbalance. Hard wrong labels get the largest weight, so labels must be clean.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5], [0.1, 1.2]], "labels": [0, 0], "alpha": [0.25, 0.75]},
        {"gamma": 2.0},
    ),
    recipe=SoftmaxRecipe(slope=slope_of_item),
    linear=True,
    topics=("imbalance", "hard examples"),
)
def focal(
    logits: Logits,
    labels: IgnorableLabels,
    alpha: Annotated[Float[Tensor, "classes"], Arg(doc="Factor of each class, 1 if absent.", low=0)]
    | None = None,
    *,
    params: FocalParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy times (1 - p)^gamma, p being the probability of the right class.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf. For gamma < 1 the gradient where p rounds to 1 is 0.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    log_p = at_label(log_softmax_counted(logits, ignored), safe)
    value = _value(log_p, None if alpha is None else alpha[safe], params)
    return value.masked_fill(ignored, 0.0)


def _value(log_p: Tensor, alpha_y: Tensor | None, params: FocalParams) -> Tensor:
    impossible = log_p == -torch.inf
    miss = -torch.expm1(log_p.masked_fill(impossible, 0.0))
    modulation = power(miss.masked_fill(impossible, 1.0), params.gamma)
    if params.modulation_gradient == "detached":
        modulation = modulation.detach()
    value = -times_log(modulation, log_p)
    return value if alpha_y is None else times_log(alpha_y, value)
