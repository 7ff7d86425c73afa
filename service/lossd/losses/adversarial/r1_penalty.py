"""R1 and R2 penalties: half the squared gradient of a discriminator."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.adversarial._lengths import GradientNorms, InputGradients


class R1PenaltyParams(LossParams):
    """Parameters of `r1_penalty`."""

    gamma: float = Field(10.0, ge=0, description="Weight of the penalty.")


@loss(
    formula=r"\tfrac{\gamma}{2} \|\nabla_x D(x)\|_2^2",
    source="Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406, eq. 9; Roth et al. 2017, "
    "arXiv:1705.09367",
    units="squared, of score per input",
    exactly_one_of=(("input_gradients", "gradient_norms"),),
    card=Card(
        characteristics="0 only for a flat discriminator; smooth, also at 0.",
        use="R1 at real inputs, R2 at generated ones: convergence of GANs near their optimum.",
        stability="The client computes the gradient of its discriminator, and backpropagates what "
        "comes back through it.",
        data="The discriminator's gradients by its inputs, one per input, or their lengths.",
    ),
    example=Example({"input_gradients": [[0.6, 0.8], [0.3, 0.1]]}),
)
def r1_penalty(
    input_gradients: InputGradients | None = None,
    gradient_norms: GradientNorms | None = None,
    *,
    params: R1PenaltyParams,
) -> Float[Tensor, "rows"]:
    """Half of gamma times the squared length of a gradient, one value per row, >= 0."""
    if gradient_norms is not None:
        return 0.5 * params.gamma * gradient_norms.square()
    assert input_gradients is not None
    return 0.5 * params.gamma * input_gradients.unsqueeze(1).flatten(1).square().sum(1)
