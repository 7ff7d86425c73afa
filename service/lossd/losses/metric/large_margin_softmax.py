"""Large-margin softmax: a linear classifier that sees the angle of the right class multiplied."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._margins import ANNEALING, softmax_with, times_angle, to_classes


class LargeMarginSoftmaxParams(LossParams):
    """Parameters of `large_margin_softmax`."""

    margin: int = Field(4, ge=1, le=16, description="What the angle is multiplied by.")
    annealing: float = Field(0.0, ge=0, le=1e9, description=ANNEALING)


@loss(
    formula=r"-\log \frac{e^{\lVert w_y \rVert \lVert x \rVert \psi(\theta_y)}}"
    r"{e^{\lVert w_y \rVert \lVert x \rVert \psi(\theta_y)} + \sum_{j \neq y} e^{w_j^\top x}}, "
    r"\quad \psi(\theta) = (-1)^k \cos(m \theta) - 2k",
    source="Liu et al. 2016, arXiv:1612.02295, eqs. 4 and 6 (L-Softmax)",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="With margin 1 it is the cross-entropy of a linear layer without bias; "
        "more asks for more than the right side of the boundary.",
        use="Classification that should separate classes widely.",
        stability="Large margins hardly start alone: blend in the plain logit by `annealing`, "
        "falling with time. Which branch k counts is constant.",
        data="Labelled classes. rows x classes logits are made.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        }
    ),
)
def large_margin_softmax(
    embeddings: Embeddings,
    proxies: Proxies,
    labels: ClassLabels,
    *,
    params: LargeMarginSoftmaxParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of a linear layer whose right class has its angle multiplied.

    Returns one value per row, in nats, >= 0.
    """
    cosine, sine = to_classes(embeddings, proxies, labels)
    plain = at_label(cosine, labels)
    changed = times_angle(plain, sine, params.margin)
    own = (changed + params.annealing * plain) / (1.0 + params.annealing)
    length: Tensor = torch.linalg.vector_norm(embeddings, dim=1)
    sizes: Tensor = torch.linalg.vector_norm(proxies, dim=1)
    return softmax_with(embeddings @ proxies.T, length * sizes[labels] * own, labels)
