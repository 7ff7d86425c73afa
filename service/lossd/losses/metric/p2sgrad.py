"""P2SGrad: squared difference of the cosines to the classes from one-hot targets."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import one_hot
from lossd.losses._pairs import ClassLabels, Embeddings, Proxies, cosines
from lossd.losses._spec import Card, Example, LossParams


class P2sgradParams(LossParams):
    """Parameters of `p2sgrad`: none."""


@loss(
    formula=r"\frac{1}{C} \sum_j \left(\cos\theta_j - [j = y]\right)^2",
    source="Zhang et al. 2019, arXiv:1905.02479, eq. 11; as a squared error: Wang and Yamagishi "
    "2021, arXiv:2103.11326",
    units="squared cosine",
    matrices=(("rows", "classes"),),
    card=Card(
        characteristics="Has neither scale nor margin to tune; its gradient is the paper's, up to "
        "a constant.",
        use="Speaker and face verification, telling real speech from spoofed.",
        stability="Bounded by 4. The mean over classes makes it small where there are many.",
        data="Labelled classes, rather few.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.2], [0.1, 1.0]],
            "proxies": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
            "labels": [0, 1],
        }
    ),
)
def p2sgrad(
    embeddings: Embeddings, proxies: Proxies, labels: ClassLabels, *, params: P2sgradParams
) -> Float[Tensor, "rows"]:
    """Mean over classes of the squared error of a row's cosines; proxies count by direction.

    Returns one value per row, >= 0.
    """
    cosine = cosines(embeddings, proxies)
    return (cosine - one_hot(labels, cosine)).square().mean(1)
