"""Proxy-NCA: each row must be nearer to its class's proxy than to the others'."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import at_label, one_hot
from lossd.losses._pairs import (
    NORMALIZE,
    ClassLabels,
    Embeddings,
    Proxies,
    distances,
    log_sum_exp,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class ProxyNcaParams(LossParams):
    """Parameters of `proxy_nca`."""

    scale: float = Field(
        1.0, gt=0, le=1e6, description="What squared distances are multiplied by; 9 in Proxy-NCA++."
    )
    own_in_denominator: bool = Field(
        False,
        description="Whether a row's own proxy counts in the denominator: true is a softmax "
        "(Proxy-NCA++), and never below 0.",
    )
    normalize: bool = Field(True, description=f"{NORMALIZE[:-1]}, and proxies too.")


@loss(
    formula=r"-\log \frac{e^{-\lVert x - w_y \rVert^2}}{\sum_{j \neq y} e^{-\lVert x - w_j "
    r"\rVert^2}}",
    source="Movshovitz-Attias et al. 2017, arXiv:1703.07464, eq. 4; Proxy-NCA++: Teh et al. 2020, "
    "arXiv:2004.01113, eq. 5",
    units="nats",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="Compares rows with one proxy per class, so there is nothing to mine.",
        use="Retrieval with many classes and few rows of each per batch.",
        stability="Log-sum-exp. Without its own proxy in the denominator the value goes below 0 "
        "and easy rows keep a gradient.",
        data="Labelled classes, at least two. Proxies learn faster at a larger learning rate.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        }
    ),
)
def proxy_nca(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: ProxyNcaParams
) -> Float[Tensor, "rows"]:
    """Scaled squared distance to a row's own proxy, and log of the sum over proxies of e^-that.

    With a single class and its proxy not in the denominator, the value is 0.

    Returns one value per row, in nats.
    """
    x, w = unit(embeddings, params.normalize), unit(proxies, params.normalize)
    near = -params.scale * _squared_distances(x, w, params.normalize)
    if params.own_in_denominator:
        return -at_label(torch.log_softmax(near, dim=1), labels)
    if len(w) == 1:
        return 0.0 * near.sum(1)
    others = one_hot(labels, near) == 0
    return log_sum_exp(near, others) - at_label(near, labels)


def _squared_distances(x: Tensor, w: Tensor, of_unit_length: bool) -> Tensor:
    """Of each row of x to each of w: by their product where nothing is lost that way."""
    if not of_unit_length:
        return distances(x, w).square()
    return x.square().sum(1, keepdim=True) + w.square().sum(1) - 2.0 * x @ w.T
