"""Equalization loss (EQL): rare classes are not pushed down by items of other classes."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import along_classes, is_ignored, one_hot, softplus
from lossd.losses._spec import Arg, Card, Example
from lossd.losses.imbalance._prior import cross_entropy_of


class EqualizationParams(IgnoringParams):
    """Parameters of `equalization`."""

    kind: Literal["softmax", "sigmoid"] = Field(
        "sigmoid", description="The loss that is equalized: of one label, or of a yes per class."
    )
    threshold: float = Field(
        1.76e-3, ge=0, le=1, description="Classes of a smaller frequency are rare."
    )
    keep_probability: float = Field(
        0.9, ge=0, le=1, description="Of softmax: share of rare classes that are let off in a call."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Of softmax: which rare classes these are.")


@loss(
    formula=r"\text{sigmoid: } \sum_k w_k \left[ y_k \log(1 + e^{-z_k}) + (1 - y_k) \log(1 + "
    r"e^{z_k}) \right];\quad \text{softmax: } -\log \frac{e^{z_y}}{\sum_k w_k e^{z_k}};\quad "
    r"w_k = 1 - E\,[f_k < \lambda]\,(1 - y_k)",
    source="Tan et al. 2020, arXiv:2003.05176, EQL and softmax EQL",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Elements of rare classes cost nothing, and get no gradient, on items of "
        "other classes. At threshold 0 it is the plain loss.",
        use="Long-tailed detection (sigmoid) and classification (softmax), where the many items of "
        "frequent classes drown the few of rare ones.",
        stability="As cross_entropy and binary_cross_entropy_with_logits.",
        data="Class frequencies of the training set, and for detection which items are foreground. "
        "Rare classes are predicted too often where the threshold is too high.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "class_frequencies": [0.9, 0.0995, 0.0005],
        }
    ),
)
def equalization(
    logits: FiniteLogits,
    labels: IgnorableLabels,
    class_frequencies: Annotated[
        Float[Tensor, "classes"],
        Arg(doc="Share of training items that are of each class.", low=0, high=1),
    ],
    foreground: Annotated[
        Int[Tensor, "rows *spatial"],
        Arg(doc="Of sigmoid: 0 for an item of no class, 1 (or absent) else.", values=(0, 1)),
    ]
    | None = None,
    *,
    params: EqualizationParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy without the pull of other classes' items on rare classes.

    Of sigmoid an item with foreground 0 is a negative of every class, its label does not matter,
    and it is let off nothing. Of softmax the rare classes that are let off are drawn by `seed`, one
    draw per class and call, so that rows do not depend on each other. Of softmax foreground is of
    no consequence.

    Returns one value per item, in nats, >= 0, 0 where ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    rare = class_frequencies < params.threshold
    if params.kind == "softmax":
        let_off = along_classes(rare & _drawn(rare, params), logits.ndim)
        let_off = let_off & (one_hot(safe, logits) == 0)
        return cross_entropy_of(
            logits.masked_fill(let_off, -torch.inf), labels, params.ignore_index
        )
    targets = one_hot(safe, logits)
    let_off = along_classes(rare, logits.ndim) & (targets == 0)
    if foreground is not None:
        inside = (foreground == 1).unsqueeze(1)
        targets, let_off = targets * inside, let_off & inside
    terms = softplus(torch.where(targets == 1, -logits, logits))
    return terms.masked_fill(let_off, 0.0).sum(1).masked_fill(ignored, 0.0)


def _drawn(rare: Tensor, params: EqualizationParams) -> Tensor:
    generator = torch.Generator().manual_seed(params.seed)
    numbers = torch.rand(len(rare), generator=generator, dtype=torch.float64)
    return (numbers < params.keep_probability).to(rare.device)
