"""Generalized cross-entropy: between cross-entropy and absolute error, for noisy labels."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits
from lossd.losses._ops import at_label, is_ignored, label_weights, log_softmax_counted, times_log
from lossd.losses._spec import Card, Example, LossParams, SoftmaxRecipe

_LEAST_POWER = 1e-100  # below it q log p may vanish in float64, where the limit is exact anyway


class GeneralizedCrossEntropyParams(LossParams):
    """Parameters of `generalized_cross_entropy`."""

    q: float = Field(
        0.7, ge=0, le=1, description="Robustness, unitless. 0 is cross-entropy, 1 is 1 - p."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: GeneralizedCrossEntropyParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


def slope_of_item(
    logits: Logits,
    labels: Int[Tensor, "rows *spatial"],
    params: GeneralizedCrossEntropyParams,
    **_: Tensor,
) -> Float[Tensor, "rows *spatial"]:
    """p^q of the right class: minus the derivative of the value by the log of p."""
    ignored = is_ignored(labels, params.ignore_index)
    if params.q < _LEAST_POWER:
        return (~ignored).to(logits.dtype)
    log_p = at_label(log_softmax_counted(logits.detach(), ignored), labels.masked_fill(ignored, 0))
    return torch.exp(params.q * log_p).masked_fill(ignored, 0.0)


@loss(
    formula=r"w_y \frac{1 - p_y^q}{q},\quad p = \operatorname{softmax}(z)",
    source="Zhang and Sabuncu 2018, arXiv:1805.07836, section 3.2",
    units="nats at q = 0, probability at q = 1",
    weights=weight_of_item,
    card=Card(
        characteristics="Bounded by 1 / q: an item that cannot be fitted loses its pull, by p^q.",
        use="Labels of which some are wrong; cross_entropy where they are clean.",
        stability="(1 - p^q) / q is taken as -expm1(q log p) / q, so that no q is too small. The "
        "gradient of an item vanishes as p^q: at a large q learning may hardly start.",
        data="Wrong labels, a fifth or even two fifths of all; a larger q for more of them.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}, {"q": 0.7}),
    recipe=SoftmaxRecipe(slope=slope_of_item, weights="class_weights"),
    linear=True,
)
def generalized_cross_entropy(
    logits: Logits,
    labels: IgnorableLabels,
    class_weights: ClassWeights | None = None,
    *,
    params: GeneralizedCrossEntropyParams,
) -> Float[Tensor, "rows *spatial"]:
    """The power q of the right class's probability short of 1, over q.

    Returns one value per item, in [0, 1 / q] times the class weight, 0 where ignored; 1 / q, with
    no gradient, where the label's logit is -inf. At q = 0 it is cross_entropy.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    value = _value(at_label(log_softmax_counted(logits, ignored), safe), params.q)
    if class_weights is not None:
        value = times_log(class_weights[safe], value)
    return value.masked_fill(ignored, 0.0)


def _value(log_p: Tensor, q: float) -> Tensor:
    if q < _LEAST_POWER:
        return -log_p
    # In float64, one number per item, where float32 would lose q log p to underflow.
    return (-torch.expm1(q * log_p.double()) / q).to(log_p.dtype)
