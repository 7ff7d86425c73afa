"""Gradient penalty: a critic's gradient should have length 1, or at most that."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.adversarial._lengths import GradientNorms, InputGradients, lengths


class GradientPenaltyParams(LossParams):
    """Parameters of `gradient_penalty`."""

    target: float = Field(1.0, ge=0, description="The length that costs nothing.")
    one_sided: bool = Field(False, description="Whether shorter gradients cost nothing too.")


@loss(
    formula=r"(\|\nabla_x D(x)\|_2 - 1)^2",
    source="Gulrajani et al. 2017 (WGAN-GP), arXiv:1704.00028, eq. 3; one-sided: Petzka, Fischer "
    "and Lukovnikov 2018, arXiv:1709.08894, eq. 7",
    units="squared, of score per input",
    exactly_one_of=(("input_gradients", "gradient_norms"),),
    card=Card(
        characteristics="0 where the critic is as steep as it may be.",
        use="Beside the wasserstein `gan`, with a weight of 10, at points between real and fake.",
        stability="The client computes the gradient of its critic, and backpropagates what comes "
        "back through it. A gradient of 0 gets none.",
        data="The critic's gradients by its inputs, one per point, or their lengths.",
    ),
    example=Example({"input_gradients": [[0.6, 0.8], [0.3, 0.1]]}),
)
def gradient_penalty(
    input_gradients: InputGradients | None = None,
    gradient_norms: GradientNorms | None = None,
    *,
    params: GradientPenaltyParams,
) -> Float[Tensor, "rows"]:
    """The squared difference of a gradient's length from the target, or of its excess.

    Returns one value per row, >= 0. The subgradient of a length at 0 is 0.
    """
    excess = lengths(input_gradients, gradient_norms) - params.target
    return (positive_part(excess) if params.one_sided else excess).square()
