"""Smooth hinge loss: the hinge with its corner rounded."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class SmoothHingeParams(LossParams):
    """Parameters of `smooth_hinge`."""

    smoothing: float = Field(
        1.0, ge=1e-6, le=1e6, description="Width of the round part, in score units."
    )


@loss(
    formula=r"\begin{cases} 0 & y s \ge 1 \\ (1 - y s)^2 / (2 \gamma) & 1 - \gamma < y s < 1 \\ "
    r"1 - y s - \gamma / 2 & y s \le 1 - \gamma \end{cases}",
    source="Rennie and Srebro 2005, IJCAI multidisciplinary workshop, at gamma 1; any gamma: "
    "Shalev-Shwartz and Zhang 2013, arXiv:1209.1873",
    units="score units",
    card=Card(
        characteristics="Convex, once differentiable, of gradient at most 1; hinge as gamma goes "
        "to 0.",
        use="Linear classifiers by gradient methods that want a smooth loss and sparse gradients.",
        stability="Exact for any finite score. The curvature is 1 / gamma.",
        data="As hinge.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def smooth_hinge(
    scores: Scores, labels: SignLabels, *, params: SmoothHingeParams
) -> Float[Tensor, "rows *rest"]:
    """Hinge with margin 1, quadratic on its last part; one value per element, >= 0."""
    short, gamma = positive_part(1.0 - labels * scores), params.smoothing
    near = short.clamp(max=gamma)
    # Both parts of one expression: neither is squared where it is large.
    return near * near / (2.0 * gamma) + positive_part(short - gamma)
