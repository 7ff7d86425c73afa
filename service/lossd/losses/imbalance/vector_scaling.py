"""Vector scaling (VS): logits scaled and shifted by what their class's count asks for."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits
from lossd.losses._ops import along_classes, is_ignored, label_weights, power, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.imbalance._prior import ClassCounts, cross_entropy_of, log_prior


class VectorScalingParams(IgnoringParams):
    """Parameters of `vector_scaling`."""

    gamma: float = Field(
        0.3, ge=0, le=4, description="Power of count / largest count that logits are scaled by."
    )
    tau: float = Field(1.0, ge=0, le=100, description="Factor of the log prior that is added.")


def weight_of_item(
    params: VectorScalingParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


@loss(
    formula=r"-w_y \log \frac{e^{\Delta_y z_y + \iota_y}}{\sum_k e^{\Delta_k z_k + \iota_k}},"
    r"\quad \Delta_k = (n_k / \max_j n_j)^\gamma,\ \iota_k = \tau \log \pi_k",
    source="Kini et al. 2021, arXiv:2103.01550, the VS loss, by counts as in its experiments",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Additive shifts act early in training, multiplicative ones at its end, "
        "when the data are separated. Convex in the logits.",
        use="Long-tailed data that the model can fit to the last item; with gamma 0 it is "
        "logit_adjustment, with tau 0 the loss of class-dependent temperatures.",
        stability="As cross_entropy of the moved logits. A rare class's gradient shrinks by Delta.",
        data="Class counts of the training set; a class of 0 items counts as impossible unless "
        "tau is 0.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "class_counts": [90, 9, 1],
        }
    ),
)
def vector_scaling(
    logits: Logits,
    labels: IgnorableLabels,
    class_counts: ClassCounts,
    class_weights: ClassWeights | None = None,
    *,
    params: VectorScalingParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of logits times a power of the class's count, plus tau log prior.

    Returns one value per item, in nats, times the class weight of its label, 0 where ignored; +inf
    where the label's logit is -inf or, unless tau is 0, its count 0.
    """
    largest = class_counts.max()
    share = class_counts / largest.masked_fill(largest == 0, 1.0)
    impossible = logits == -torch.inf
    scale = along_classes(power(share, params.gamma), logits.ndim)
    moved = logits.masked_fill(impossible, 0.0) * scale
    if params.tau:
        moved = moved + params.tau * along_classes(log_prior(class_counts), logits.ndim)
    value = cross_entropy_of(moved.masked_fill(impossible, -torch.inf), labels, params.ignore_index)
    if class_weights is not None:
        ignored = is_ignored(labels, params.ignore_index)
        value = times_log(class_weights[labels.masked_fill(ignored, 0)], value)
    return value
