"""Relativistic average GAN: real items must score above the mean of generated ones."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.adversarial._relativistic import (
    EXAMPLE,
    FakeScores,
    RealScores,
    RelativisticParams,
    cost,
)


class RelativisticAverageGanParams(RelativisticParams):
    """Parameters of `relativistic_average_gan`."""


@loss(
    formula=r"-\log \sigma(s_r - \bar s_f) - \log\big(1 - \sigma(s_f - \bar s_r)\big)",
    source="Jolicoeur-Martineau 2018 (RaSGAN, RaLSGAN, RaHinge), arXiv:1807.00734, eq. 10 and 11",
    units="nats, or score units",
    coupling="coupled",
    card=Card(
        characteristics="`relativistic_gan` against the mean of the other side: less variance, no "
        "pairing.",
        use="Image generation and super-resolution, as in ESRGAN.",
        stability="Stable for any finite score. Both halves are added, not averaged.",
        data="Scores of as many real as generated items.",
    ),
    example=Example(EXAMPLE),
)
def relativistic_average_gan(
    real_scores: RealScores, fake_scores: FakeScores, *, params: RelativisticAverageGanParams
) -> Float[Tensor, "rows"]:
    """What a real item's lead over the mean fake costs, and the mean real item's over a fake.

    Returns one value per row, of its real and its generated item, >= 0.
    """
    sign = 1.0 if params.player == "discriminator" else -1.0
    real = cost(sign * (real_scores - fake_scores.mean()), params.kind)
    return real + cost(sign * (real_scores.mean() - fake_scores), params.kind)
