"""Divergence of a normal distribution from another: what keeps a variational code in place."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class GaussianDivergenceParams(LossParams):
    """Parameters of `gaussian_divergence`."""


@loss(
    formula=r"\frac{1}{2} \sum_j \left(e^{v_j - w_j} - 1 - (v_j - w_j)"
    r" + (\mu_j - m_j)^2 e^{-w_j}\right)",
    source="Kullback and Leibler 1951; of a variational code: Kingma and Welling 2014, "
    "arXiv:1312.6114, appendix B",
    units="nats",
    card=Card(
        characteristics="0 where both are equal; quadratic in the means, and in small differences "
        "of the logarithms of the variances.",
        use="The second term of a variational autoencoder, with a weight that is faded in.",
        stability="Of logarithms of variances, which may be any numbers. A variance far above the "
        "prior's costs e^(v - w), one far below only w - v.",
        data="Predicted means and log-variances of independent dimensions, a code per row.",
    ),
    example=Example({"mean": [[0.5, -1.0], [0.0, 2.0]], "log_variance": [[0.0, -0.5], [0.3, 0.0]]}),
)
def gaussian_divergence(
    mean: Annotated[Float[Tensor, "rows features"], Arg(doc="Predicted means.", gradient=True)],
    log_variance: Annotated[
        Float[Tensor, "rows features"],
        Arg(doc="Natural logarithms of the predicted variances.", gradient=True),
    ],
    prior_mean: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Means of the prior; 0 if absent.", gradient=True)
    ]
    | None = None,
    prior_log_variance: Annotated[
        Float[Tensor, "rows features"],
        Arg(doc="Logarithms of the prior's variances; 0 if absent.", gradient=True),
    ]
    | None = None,
    *,
    params: GaussianDivergenceParams,
) -> Float[Tensor, "rows"]:
    """KL(predicted || prior) of independent normal distributions: one value per row, in nats."""
    difference = log_variance if prior_log_variance is None else log_variance - prior_log_variance
    square = (mean if prior_mean is None else mean - prior_mean).square()
    if prior_log_variance is not None:
        square = square * torch.exp(-prior_log_variance)
    return 0.5 * (torch.expm1(difference) - difference + square).sum(1)
