"""Losses of generative adversarial networks, for both players."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores
from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams

Kind = Literal["non_saturating", "minimax", "hinge", "least_squares", "wasserstein"]


class GanParams(LossParams):
    """Parameters of `gan`."""

    kind: Kind = Field("non_saturating", description="The game that is played.")
    player: Literal["discriminator", "generator"] = Field(
        "discriminator", description="Whose loss it is; the generator's counts fakes only."
    )


def counted(params: GanParams, is_real: Int[Tensor, "rows *rest"]) -> Tensor:
    """1 per item; for the generator, 1 per fake."""
    if params.player == "generator":
        return (is_real == 0).to(torch.float64)
    return torch.ones_like(is_real, dtype=torch.float64)


@loss(
    formula=r"\text{discriminator: } -\log\sigma(s)\ \text{real},\ -\log(1 - \sigma(s))\ "
    r"\text{fake};\quad \text{generator: } -\log\sigma(s)\ \text{or}\ \log(1 - \sigma(s))",
    source="Goodfellow et al. 2014, arXiv:1406.2661, eq. 1 and section 3; hinge: Lim and Ye 2017, "
    "arXiv:1705.02894; least squares: Mao et al. 2016, arXiv:1611.04076, eq. 2 with 0, 1, 1; "
    "Wasserstein: Arjovsky, Chintala and Bottou 2017, arXiv:1701.07875, algorithm 1",
    units="nats, or score units",
    weights=counted,
    card=Card(
        characteristics="Two players, no common minimum; only the discriminator's is a plain loss.",
        use="non_saturating by default; hinge for large image models; least_squares for stability; "
        "wasserstein with `gradient_penalty`; minimax to study the original game: its generator "
        "stops learning against a good rival.",
        stability="Stable for any finite score. Minimax, hinge and wasserstein have negative "
        "values.",
        data="Scores of real and of generated items.",
    ),
    example=Example({"scores": [1.5, 0.2, -0.7, 0.4], "is_real": [1, 1, 0, 0]}),
)
def gan(
    scores: Scores,
    is_real: Annotated[
        Int[Tensor, "rows *rest"], Arg(doc="1: a real item; 0: a generated one.", values=(0, 1))
    ],
    *,
    params: GanParams,
) -> Float[Tensor, "rows *rest"]:
    """What a discriminator pays for a score, or a generator for the score of a fake.

    The mean of the discriminator is over all items; where a paper adds the means of real and fake
    halves it is half as large. The subgradient at a hinge is 0. Real items cost a generator 0.
    """
    real = is_real == 1
    if params.player == "discriminator":
        return torch.where(real, _of_real(params.kind, scores), _of_fake(params.kind, scores))
    return _of_generator(params.kind, scores).masked_fill(real, 0.0)


def _of_real(kind: Kind, scores: Tensor) -> Tensor:
    if kind == "wasserstein":
        return -scores
    if kind == "hinge":
        return positive_part(1.0 - scores)
    return 0.5 * (scores - 1.0).square() if kind == "least_squares" else softplus(-scores)


def _of_fake(kind: Kind, scores: Tensor) -> Tensor:
    if kind == "wasserstein":
        return scores
    if kind == "hinge":
        return positive_part(1.0 + scores)
    return 0.5 * scores.square() if kind == "least_squares" else softplus(scores)


def _of_generator(kind: Kind, scores: Tensor) -> Tensor:
    if kind in ("hinge", "wasserstein"):
        return -scores
    return -softplus(scores) if kind == "minimax" else _of_real(kind, scores)
