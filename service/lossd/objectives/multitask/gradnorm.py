"""Gradient normalization."""

import numpy as np
from pydantic import Field

from lossd.errors import OutOfRange
from lossd.objectives.multitask._catalog import Arrays, MethodParams, Solved, StateArray, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import check_above

SMALLEST_WEIGHT = 1e-4


class GradNormParams(MethodParams):
    """Parameters of `gradnorm`."""

    alpha: float = Field(1.5, ge=0, le=100, description="0: all norms alike; more: slow tasks up.")
    learning_rate: float = Field(0.025, ge=0, le=100, description="Of the weights.")


@method(
    formula=r"\min_w \sum_k \bigl| w_k \lVert g_k \rVert - \bar G \, r_k^\alpha \bigr|,\quad "
    r"r_k = \frac{L_k / L_k(0)}{\mathrm{mean}_j \, L_j / L_j(0)}",
    source="Chen et al. 2018, arXiv:1711.02257, eq. 2 and algorithm 1",
    equation="the new weights, in the state, sum to K",
    state={"weights": StateArray(("tasks",)), "initial_losses": StateArray(("tasks",))},
)
def gradnorm(
    *, losses: Array, norms: Array, count: int, params: GradNormParams, state: Arrays | None
) -> Solved:
    """Weights that bring the gradients' norms to one size, more for tasks that lag behind.

    `norms` are those of the unweighted gradients at the last shared layer; of a Gramian or
    gradients they are the square roots of its diagonal. The weights are those of the state, 1 at
    the first call, whose losses are the initial ones; the new state has them one step of gradient
    descent further, not below 1e-4, with a sum of K. The derivatives of the step are answered as
    those of `weights`.
    """
    check_above(losses, np.zeros(count), "gradnorm compares it with the first one")
    if state is None:
        weights, initial = np.ones(count), losses
    else:
        weights, initial = state["weights"], state["initial_losses"]
        if (weights <= 0).any() or (initial <= 0).any():
            raise OutOfRange("not a state of gradnorm", at="state", expected="numbers above 0")
    ratio = losses / initial
    target = (weights * norms).mean() * (ratio / ratio.mean()) ** params.alpha
    slope = np.sign(weights * norms - target) * norms
    moved = np.maximum(weights - params.learning_rate * slope, SMALLEST_WEIGHT)
    moved *= count / moved.sum()
    return Solved(
        weights=weights,
        residual=abs(float(moved.sum()) / count - 1.0),
        state={"weights": moved, "initial_losses": initial},
        gradients={"weights": slope},
    )
