"""Active-passive loss (APL): one robust term that learns, one that unlearns the other classes."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import (
    PerClass,
    focal_of,
    generalized_of,
    log_probabilities,
    miss_of,
    normalized,
    normalized_miss,
)

Active = Literal[
    "cross_entropy",
    "focal",
    "generalized_cross_entropy",
    "normalized_cross_entropy",
    "normalized_focal",
    "normalized_generalized_cross_entropy",
]
Passive = Literal["mean_absolute_error", "reverse_cross_entropy", "normalized_mean_absolute_error"]


class ActivePassiveParams(IgnoringParams):
    """Parameters of `active_passive`."""

    active: Active = Field(
        "normalized_cross_entropy", description="The term that raises the label's probability."
    )
    passive: Passive = Field(
        "reverse_cross_entropy",
        description="The term that lowers the others': 2 (1 - p), -A (1 - p), or (1 - p) over the "
        "number of other classes, to which the reverse one normalizes too.",
    )
    alpha: float = Field(1.0, ge=0, le=1e3, description="Factor of the active term.")
    beta: float = Field(1.0, ge=0, le=1e3, description="Factor of the passive term.")
    gamma: float = Field(0.5, ge=0, le=16, description="Focus of focal, unitless.")
    q: float = Field(0.7, ge=1e-6, le=1, description="Power of generalized cross-entropy.")
    log_zero: float = Field(
        -4.0, ge=-1e3, lt=0, description="A of the reverse term: what stands for log 0."
    )


@loss(
    formula=r"\alpha\, \ell_{\text{active}}(p, y) + \beta\, \ell_{\text{passive}}(p, y),\quad "
    r"\text{e.g. } \alpha \frac{\log p_y}{\sum_k \log p_k} - \beta A (1 - p_y)",
    source="Ma et al. 2020, arXiv:2006.13554, the APL framework, section 3",
    units="unitless, or nats where a term is not normalized",
    weights=counted_item,
    card=Card(
        characteristics="Of a normalized active term bounded, and uniform label noise moves no "
        "minimum. NCE + RCE and NCE + MAE are the paper's best.",
        use="A fifth to four fifths of labels wrong; cross_entropy where they are clean.",
        stability="Stable for any finite logits. Alpha and beta want a search: the paper has 1 and "
        "1 for ten classes, 10 and 0.1 for a hundred.",
        data="Noise that does not depend on the item. MAE is 2 (1 - p), as in the paper; code that "
        "has 1 - p wants half the beta.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def active_passive(
    logits: Logits, labels: IgnorableLabels, *, params: ActivePassiveParams
) -> Float[Tensor, "rows *spatial"]:
    """An active and a passive term, by their factors.

    Returns one value per item, >= 0, 0 where ignored. Where the label's logit is -inf normalized
    terms are 1 with no gradient, and cross_entropy and focal are +inf.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    active, passive = _active(log_p, safe, params), _passive(log_p, safe, params)
    value = times_log(active.new_tensor(params.alpha), active) + params.beta * passive
    return value.masked_fill(ignored, 0.0)


def _active(log_p: Tensor, labels: Tensor, params: ActivePassiveParams) -> Tensor:
    per_class: PerClass = focal_of(params.gamma if "focal" in params.active else 0.0)
    if "generalized" in params.active:
        per_class = generalized_of(params.q)
    if params.active.startswith("normalized"):
        return normalized(per_class, log_p, labels)
    of_label = at_label(log_p, labels)
    impossible = of_label == -torch.inf
    worst = 1.0 / params.q if "generalized" in params.active else torch.inf
    return per_class(of_label.masked_fill(impossible, 0.0)).masked_fill(impossible, worst)


def _passive(log_p: Tensor, labels: Tensor, params: ActivePassiveParams) -> Tensor:
    if params.passive == "normalized_mean_absolute_error":
        return normalized_miss(log_p, labels)
    factor = 2.0 if params.passive == "mean_absolute_error" else -params.log_zero
    return factor * miss_of(at_label(log_p, labels))
