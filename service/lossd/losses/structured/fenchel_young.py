"""Fenchel-Young losses: the loss that fits a prediction map, from its regulariser."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, TargetProbabilities
from lossd.losses._ops import at_label, softplus, times_log
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.structured._fenchel_young import tsallis_value

Regularizer = Literal["shannon", "gini", "tsallis", "zero", "cube_entropy", "cube_squared"]


class FenchelYoungParams(LossParams):
    """Parameters of `fenchel_young`."""

    regularizer: Regularizer = Field(
        "shannon",
        description="Over distributions: shannon (softmax), gini (sparsemax), tsallis (entmax), "
        "zero (argmax). Over each class apart: cube_entropy (sigmoid), cube_squared (clipping).",
    )
    alpha: float = Field(1.5, ge=1, le=16, description="Order of the Tsallis entropy.")
    unnormalized_targets: bool = Field(
        False, description="Accept targets that do not sum to 1, as the cube wants them."
    )


@loss(
    formula=r"\Omega^*(z) + \Omega(t) - \langle z, t \rangle,\quad "
    r"\Omega^*(z) = \max_p \langle p, z \rangle - \Omega(p)",
    source="Blondel, Martins and Niculae 2020, arXiv:1901.02324, definition 2 and table 1",
    units="those of the regulariser: nats for entropies",
    card=Card(
        characteristics="Convex; 0 if and only if the prediction map gives the target. The "
        "gradient is prediction less target.",
        use="To train for a prediction map of one's choice, with targets that are distributions; "
        "or, on the cube, sets of labels.",
        stability="As sparsemax, entmax, cross_entropy and binary_cross_entropy_with_logits, of "
        "which it is the common form. zero has kinks, where its subgradient picks the first.",
        data="Targets as distributions over classes; with the cube as independent probabilities.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "target_probabilities": [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]],
        },
        {"regularizer": "tsallis"},
    ),
)
def fenchel_young(
    logits: FiniteLogits, target_probabilities: TargetProbabilities, *, params: FenchelYoungParams
) -> Float[Tensor, "rows *spatial"]:
    """How far the regularised prediction is from the target, measured by the regulariser.

    Unlike cross_entropy it has the entropy of the target taken off, so that its least value is 0.
    With targets that do not sum to 1 the distributions' values may be negative.

    Returns one value per item.
    """
    target = target_probabilities
    if params.regularizer == "cube_entropy":
        chances = times_log(target, target.log()) + times_log(1.0 - target, (1.0 - target).log())
        missed = target * softplus(-logits) + (1.0 - target) * softplus(logits)
        return (missed + chances).sum(1)
    if params.regularizer == "cube_squared":
        p = logits.detach().clamp(0.0, 1.0)
        return ((p - target) * logits + 0.5 * (target.square() - p.square())).sum(1)
    if params.regularizer == "zero":
        moved = logits - logits.detach().amax(1, keepdim=True)
        value = at_label(moved, logits.argmax(1)) - (target * moved).sum(1)
    else:
        orders = {"shannon": 1.0, "gini": 2.0, "tsallis": params.alpha}
        value = tsallis_value(logits, target, orders[params.regularizer])
    if not params.unnormalized_targets:
        return value
    return value + (1.0 - target.sum(1)) * logits.detach().amax(1)
