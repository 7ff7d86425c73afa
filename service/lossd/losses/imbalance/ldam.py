"""LDAM: label-distribution-aware margins, wider for rarer classes."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits
from lossd.losses._ops import is_ignored, label_weights, one_hot, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.imbalance._prior import PositiveClassCounts, cross_entropy_of


class LdamParams(IgnoringParams):
    """Parameters of `ldam`."""

    max_margin: float = Field(
        0.5, ge=0, le=1e3, description="Margin of the rarest class, in units of logits."
    )
    scale: float = Field(
        30.0, gt=0, le=1e4, description="What logits are multiplied by after the margin."
    )
    exponent: float = Field(
        0.25, ge=0, le=4, description="Margins fall with this power of the count; 0: all equal."
    )


def weight_of_item(
    params: LdamParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


@loss(
    formula=r"-w_y \log \frac{e^{s (z_y - m_y)}}{e^{s (z_y - m_y)} + \sum_{k \ne y} e^{s z_k}},"
    r"\quad m_k = M (\min_j n_j / n_k)^{1/4}",
    source="Cao et al. 2019, arXiv:1906.07413, the LDAM loss, section 3.2, with a scale s",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="cross_entropy with a margin taken off the right class's logit, as large "
        "as generalization over unequal classes asks for. Convex in the logits.",
        use="Long-tailed data, on logits that are cosines. Deferred re-weighting (DRW) is "
        "class_weights given in the last epochs only.",
        stability="Gradients are bounded by scale times the class weight. Logits that are not "
        "cosines want a scale near 1.",
        data="Class counts of the training set, each at least 1.",
    ),
    example=Example(
        {
            "logits": [[0.8, 0.1, -0.5], [0.2, 0.4, 0.3]],
            "labels": [0, 2],
            "class_counts": [90, 9, 1],
        }
    ),
)
def ldam(
    logits: Logits,
    labels: IgnorableLabels,
    class_counts: PositiveClassCounts,
    class_weights: ClassWeights | None = None,
    *,
    params: LdamParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of scaled logits, the right class's lowered by a margin first.

    Returns one value per item, in nats, times the class weight of its label, 0 where ignored; +inf
    where the label's logit is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    margins = params.max_margin * (class_counts.min() / class_counts) ** params.exponent
    lowered = logits - one_hot(safe, logits) * margins[safe].unsqueeze(1)
    value = cross_entropy_of(params.scale * lowered, labels, params.ignore_index)
    return value if class_weights is None else times_log(class_weights[safe], value)
