"""Relativistic GAN: a real item must score above a generated one, pair by pair."""

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


class RelativisticGanParams(RelativisticParams):
    """Parameters of `relativistic_gan`."""


@loss(
    formula=r"-\log \sigma(s_r - s_f);\quad \text{generator: } -\log \sigma(s_f - s_r)",
    source="Jolicoeur-Martineau 2018 (RSGAN), arXiv:1807.00734, eq. 8 and 9",
    units="nats, or score units",
    card=Card(
        characteristics="Only differences of scores count; the generator is moved by real items "
        "too.",
        use="With `r1_penalty` on both sides, the R3GAN recipe.",
        stability="Stable for any finite score.",
        data="Scores of as many real as generated items, paired at random.",
    ),
    example=Example(EXAMPLE),
)
def relativistic_gan(
    real_scores: RealScores, fake_scores: FakeScores, *, params: RelativisticGanParams
) -> Float[Tensor, "rows"]:
    """What the lead of a real item over its generated partner costs, one value per pair, >= 0."""
    lead = real_scores - fake_scores
    return cost(lead if params.player == "discriminator" else -lead, params.kind)
