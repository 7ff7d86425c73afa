"""Contrastive loss of the signal-to-noise distance of pairs."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import SimilarLabels
from lossd.losses._ops import positive_part
from lossd.losses._pairs import NORMALIZE, unit
from lossd.losses._spec import Arg, Card, Example, LossParams


class SignalToNoiseContrastiveParams(LossParams):
    """Parameters of `signal_to_noise_contrastive`."""

    positive_margin: float = Field(
        0.0, ge=0, description="Distance up to which a similar pair costs nothing."
    )
    negative_margin: float = Field(
        1.0, ge=0, description="Distance from which a dissimilar pair costs nothing."
    )
    normalize: bool = Field(False, description=NORMALIZE)


@loss(
    formula=r"Y [d - m_p]_+ + (1 - Y) [m_n - d]_+, \quad d = \frac{\operatorname{var}(y - x)}"
    r"{\operatorname{var}(x)}",
    source="Yuan et al. 2019, arXiv:1904.02616, eqs. 4 and 10",
    units="ratio of variances",
    card=Card(
        characteristics="The difference counts as noise on the anchor's signal, each by its "
        "variance over the features; not symmetric.",
        use="Retrieval and hashing, in place of the Euclidean contrastive loss.",
        stability="Anchors whose features hardly vary give very large distances and gradients; "
        "one whose features are all equal has distance 0 and no gradient.",
        data="Labelled pairs of embeddings with mean near 0, which the paper adds a penalty for.",
    ),
    example=Example(
        {
            "anchors": [[1.0, 0.0, -1.0], [0.5, -0.5, 0.0]],
            "others": [[0.8, 0.2, -0.9], [0.3, -0.1, 0.1]],
            "labels": [1, 0],
        }
    ),
)
def signal_to_noise_contrastive(
    anchors: Annotated[Float[Tensor, "rows features"], Arg(doc="Embeddings.", gradient=True)],
    others: Annotated[
        Float[Tensor, "rows features"], Arg(doc="What each is compared with.", gradient=True)
    ],
    labels: SimilarLabels,
    *,
    params: SignalToNoiseContrastiveParams,
) -> Float[Tensor, "rows"]:
    """By how much a similar pair's distance is above its margin, or another's below its own.

    Returns one value per pair, >= 0.
    """
    x, y = unit(anchors, params.normalize), unit(others, params.normalize)
    # The ratio does not change with the size of both, and squares of 1e-20 are lost in float32.
    size = x.detach().abs().sum(1, keepdim=True)
    size = size.masked_fill(size == 0, 1.0)
    signal, noise = _spread(x / size), _spread((y - x) / size)
    silent = signal == 0
    apart = (noise / signal.masked_fill(silent, 1.0)).masked_fill(silent, 0.0)
    far = positive_part(apart - params.positive_margin)
    return torch.where(labels == 1, far, positive_part(params.negative_margin - apart))


def _spread(x: Tensor) -> Tensor:
    """Sum of squares about the mean; the count cancels in the ratio."""
    return (x - x.mean(1, keepdim=True)).square().sum(1)
