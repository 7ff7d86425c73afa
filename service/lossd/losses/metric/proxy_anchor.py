"""Proxy-Anchor: each proxy is an anchor that draws its class's rows and pushes all others."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import one_hot, softplus
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies, cosines, log_sum_exp
from lossd.losses._spec import Card, Example, LossParams


class ProxyAnchorParams(LossParams):
    """Parameters of `proxy_anchor`."""

    alpha: float = Field(32.0, gt=0, le=1e6, description="Scale.")
    margin: float = Field(0.1, ge=0, le=2, description="delta, on either side.")


@loss(
    formula=r"\frac{1}{|P^+|} \sum_{p \in P^+} \log\left(1 + \sum_{x \in X_p^+} "
    r"e^{-\alpha (s(x, p) - \delta)}\right) + \frac{1}{|P|} \sum_{p \in P} \log\left(1 + "
    r"\sum_{x \in X_p^-} e^{\alpha (s(x, p) + \delta)}\right)",
    source="Kim et al. 2020, arXiv:2003.13911, eq. 4",
    units="nats",
    coupling="whole",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="Rows of a batch are compared through the proxies: the hardest ones of a "
        "proxy get the most gradient.",
        use="Retrieval; converges in few epochs, with nothing to mine.",
        stability="Log-sum-exp. P+ are the proxies that have a row in the batch; without rows the "
        "value is 0.",
        data="Labelled classes, several rows per class and batch. Proxies learn faster at a "
        "larger learning rate.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        },
        {"alpha": 4.0},
    ),
)
def proxy_anchor(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: ProxyAnchorParams
) -> Float[Tensor, ""]:
    """Mean over proxies with rows of the pull on these, and over all proxies of the push.

    Returns one value for the batch, in nats, >= 0.
    """
    cosine = cosines(embeddings, proxies)
    own = one_hot(labels, cosine) == 1
    pull = softplus(log_sum_exp(-params.alpha * (cosine - params.margin), own, axis=0))
    push = softplus(log_sum_exp(params.alpha * (cosine + params.margin), ~own, axis=0))
    present = own.any(0).sum().clamp(min=1)
    return pull.sum() / present + push.mean()
