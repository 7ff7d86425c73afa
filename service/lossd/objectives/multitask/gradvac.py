"""Gradient vaccine."""

from typing import Any

import numpy as np
from pydantic import Field

from lossd.errors import MissingInput
from lossd.objectives.multitask._catalog import Arrays, MethodParams, Solved, StateArray, method
from lossd.objectives.multitask._tasks import Array


class GradVacParams(MethodParams):
    """Parameters of `gradvac`."""

    beta: float = Field(0.5, ge=0, le=1, description="How fast the target cosines follow.")
    per_group: bool = Field(
        False,
        description="Whether each group of parameters is corrected by itself. The state has one "
        "matrix of target cosines, the mean over the groups; each has its own weights.",
    )


@method(
    formula=r"g_i \leftarrow g_i + \frac{\lVert g_i \rVert (\hat\phi \sqrt{1 - \phi^2} - \phi "
    r"\sqrt{1 - \hat\phi^2})}{\lVert g_j \rVert \sqrt{1 - \hat\phi^2}} g_j "
    r"\text{ where } \phi = \cos(g_i, g_j) < \hat\phi",
    source="Wang et al. 2021, arXiv:2010.05874, eq. 4 and 5",
    equation="each corrected gradient has its target cosine with the one it was corrected for: the "
    "largest difference just after",
    state={"cosines": StateArray(("tasks", "tasks"))},
)
def gradvac(
    *,
    gramian: Array,
    groups: Arrays | None = None,
    count: int,
    orders: list[list[int]],
    params: GradVacParams,
    state: Arrays | None,
) -> Solved:
    """Each gradient is turned until its cosines are the moving averages of those that were.

    At the first call the targets are 0, and the weights those of pcgrad. The order matters.
    Without a seed or a permutation tasks are met as they stand.
    """
    targets = np.zeros((count, count)) if state is None else np.clip(state["cosines"], -1.0, 1.0)
    if not params.per_group:
        weights, moved, residual = _vaccinated(gramian, targets, orders, params.beta)
        return Solved(weights=weights, residual=residual, state={"cosines": moved})
    if not groups:
        raise MissingInput(
            "groups of parameters are wanted, and none are known",
            at="inputs.gradients",
            expected="gradients of several tensors, or gramian_groups",
        )
    found: dict[str, Any] = {
        name: _vaccinated(each, targets, orders, params.beta) for name, each in groups.items()
    }
    return Solved(
        weights=None,
        residual=max(each[2] for each in found.values()),
        state={"cosines": np.mean([each[1] for each in found.values()], axis=0)},
        group_weights={name: each[0] for name, each in found.items()},
    )


def _vaccinated(
    gramian: Array, targets: Array, orders: list[list[int]], beta: float
) -> tuple[Array, Array, float]:
    """The weights of one Gramian, its new targets, and the largest miss of a target."""
    targets, lengths = targets.copy(), np.sqrt(np.diag(gramian))
    total, residual = np.zeros(len(gramian)), 0.0
    for i, order in enumerate(orders):
        mine = np.zeros(len(gramian))
        mine[i] = 1.0
        for j in order:
            cosine, length = _cosine(gramian, mine, j, lengths)
            if j == i or length == 0.0:
                continue
            target = float(targets[i, j])
            if cosine < target < 1.0:
                height, depth = np.sqrt(1.0 - target**2), np.sqrt(1.0 - cosine**2)
                mine[j] += length * (target * depth - cosine * height) / (lengths[j] * height)
                after, left = _cosine(gramian, mine, j, lengths)
                if left > 0.0:
                    residual = max(residual, abs(after - target))
            targets[i, j] = (1.0 - beta) * target + beta * cosine
        total += mine
    return total, targets, residual


def _cosine(gramian: Array, mine: Array, j: int, lengths: Array) -> tuple[float, float]:
    """The cosine of a combination with gradient j, and its length; both 0 where one is 0."""
    length = float(np.sqrt(max(float(mine @ gramian @ mine), 0.0)))
    if lengths[j] == 0.0 or length <= 1e-7 * float(np.abs(mine) @ lengths):  # or is rounding
        return 0.0, 0.0
    return float(np.clip(gramian[j] @ mine / (length * lengths[j]), -1.0, 1.0)), length
