"""Multilabel soft margin loss: the mean over the classes of binary cross-entropies, per row."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, MultiLabels, RowLogits
from lossd.losses._ops import along_classes, softplus
from lossd.losses._spec import Card, Example, LossParams


class MultilabelSoftMarginParams(LossParams):
    """`multilabel_soft_margin` has no parameters."""


@loss(
    formula=r"\frac{1}{C} \sum_k w_k \left(y_k \log(1 + e^{-z_k}) + (1 - y_k) \log(1 + e^{z_k})"
    r"\right)",
    source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.90, averaged over "
    "classes; torch's multilabel_soft_margin_loss",
    units="nats",
    card=Card(
        characteristics="Convex in the logits; each class is decided on its own.",
        use="Multilabel classification judged by rows; by elements it is "
        "binary_cross_entropy_with_logits.",
        stability="Stable for any finite logit, in value and in gradient.",
        data="Independent labels; class weights where some classes matter more.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [[1, 0, 1], [0, 0, 1]]}
    ),
)
def multilabel_soft_margin(
    logits: RowLogits,
    targets: MultiLabels,
    class_weights: ClassWeights | None = None,
    *,
    params: MultilabelSoftMarginParams,
) -> Float[Tensor, "rows"]:
    """Mean over the classes of the binary cross-entropy of each, one value per row, in nats, >= 0.

    The mean divides by the number of classes and of rows, also under class weights, as torch does.
    """
    value = targets * softplus(-logits) + (1 - targets) * softplus(logits)
    if class_weights is not None:
        value = value * along_classes(class_weights, logits.ndim)
    return value.mean(1)
