"""Circle loss: every pair at its own pace, by how far it is from where it should be."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._pairs import (
    Embeddings,
    GroupLabels,
    cosines,
    has_both,
    log_sum_exp,
    other_label,
    same_label,
)
from lossd.losses._spec import Card, Example, LossParams


class CircleParams(LossParams):
    """Parameters of `circle`."""

    margin: float = Field(
        0.4, ge=0, le=2, description="m: cosines are to be above 1 - m, or below m."
    )
    gamma: float = Field(80.0, gt=0, le=1e6, description="Scale.")
    weight_gradient: Literal["detached", "full"] = Field(
        "detached", description="Whether the pace of a pair counts as constant, as in the paper."
    )


def _weights(labels: Tensor, *, params: CircleParams) -> Tensor:
    return has_both(labels)


@loss(
    formula=r"\log\left(1 + \sum_n e^{\gamma [s_n + m]_+ (s_n - m)} "
    r"\sum_p e^{-\gamma [1 + m - s_p]_+ (s_p - 1 + m)}\right)",
    source="Sun et al. 2020, arXiv:2002.10857, eqs. 4 to 8",
    units="nats",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="The boundary in the plane of both cosines is a circle: a pair far from "
        "its goal moves fast, a settled one hardly.",
        use="Face recognition (margin 0.25, gamma 256), re-identification (0.25, 128), "
        "fine-grained retrieval (0.4, 80).",
        stability="Log-sum-exp; stable at any gamma. With the pace detached, the gradient is not "
        "that of the value: it is the one of the paper.",
        data="Labelled batches. Anchors without a positive or a negative do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def circle(
    embeddings: Embeddings, labels: GroupLabels, *, params: CircleParams
) -> Float[Tensor, "rows"]:
    """Log of 1 and the sum over all of an anchor's pairs of pairs.

    Returns one value per anchor, >= 0; 0 for an anchor without a positive or a negative.
    """
    similarity = cosines(embeddings, embeddings)
    paced = similarity.detach() if params.weight_gradient == "detached" else similarity
    m = params.margin
    pull = -params.gamma * positive_part(1.0 + m - paced) * (similarity - (1.0 - m))
    push = params.gamma * positive_part(paced + m) * (similarity - m)
    pulled = log_sum_exp(pull, same_label(labels))
    return softplus(pulled + log_sum_exp(push, other_label(labels)))
