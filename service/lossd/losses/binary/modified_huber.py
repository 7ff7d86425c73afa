"""Modified Huber loss: squared hinge that grows only linearly with a gross error."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class ModifiedHuberParams(LossParams):
    """`modified_huber` has no parameters."""


@loss(
    formula=r"\begin{cases} \max(0,\, 1 - y s)^2 & y s \ge -1 \\ -4 y s & y s < -1 \end{cases}",
    source="Zhang 2004, ICML, Solving large scale linear prediction problems",
    units="squared score units, then score units",
    card=Card(
        characteristics="Convex, once differentiable, of gradient at most 4. A score clipped to "
        "[-1, 1] is a probability, mapped to [0, 1].",
        use="Linear classifiers on data with outliers, where probabilities are wanted too.",
        stability="Exact for any finite score: nothing is squared above 4.",
        data="Some wrong labels; classes nearly separable.",
    ),
    example=Example({"scores": [0.5, 2.0, 1.5], "labels": [1, -1, -1]}),
)
def modified_huber(
    scores: Scores, labels: SignLabels, *, params: ModifiedHuberParams
) -> Float[Tensor, "rows *rest"]:
    """Squared hinge down to a margin of -1, and its tangent beyond; one value per element, >= 0.

    The gradient is continuous: 0 at a margin of 1, and of size 4 at -1.
    """
    margin = labels * scores
    near = positive_part(1.0 - margin.clamp(min=-1.0)).square()
    return near + 4.0 * positive_part(-1.0 - margin)
