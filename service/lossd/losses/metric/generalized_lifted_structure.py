"""Generalised lifted structure: soft maximum of positives' distances against negatives'."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    distances,
    has_both,
    log_sum_exp,
    other_label,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class GeneralizedLiftedStructureParams(LossParams):
    """Parameters of `generalized_lifted_structure`."""

    margin: float = Field(1.0, ge=0, description="Distance wanted of negatives.")
    normalize: bool = Field(False, description=NORMALIZE)


def _weights(labels: Tensor, *, params: GeneralizedLiftedStructureParams) -> Tensor:
    return has_both(labels)


@loss(
    formula=r"\max\left(0, \log \sum_{p: y_p = y_a} e^{D_{ap}} + \log \sum_{n: y_n \neq y_a} "
    r"e^{m - D_{an}}\right)",
    source="Hermans, Beyer and Leibe 2017, arXiv:1703.07737, eq. 8",
    units="distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="A soft form of the hardest triplet of each anchor: all pairs count, the "
        "hard ones most.",
        use="Re-identification and retrieval with several rows per label and batch.",
        stability="Log-sum-exp, one hinge per anchor. At distance 0 the gradient is 0.",
        data="Labelled batches. Anchors without a positive or a negative do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def generalized_lifted_structure(
    embeddings: Embeddings, labels: GroupLabels, *, params: GeneralizedLiftedStructureParams
) -> Float[Tensor, "rows"]:
    """Positive part of the log-sum-exps of an anchor's positives and of its negatives.

    Returns one value per anchor, >= 0; 0 for an anchor without a positive or a negative.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    far = log_sum_exp(apart, same_label(labels))
    near = log_sum_exp(params.margin - apart, other_label(labels))
    return positive_part(far + near)
