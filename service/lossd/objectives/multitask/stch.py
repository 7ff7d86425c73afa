"""Smooth Tchebycheff scalarization."""

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task, softmax


class StchParams(MethodParams):
    """Parameters of `stch`."""

    mu: float = Field(1.0, gt=0, le=1e6, description="Smoothness: less is nearer to the maximum.")
    preference: list[float] | None = Field(
        None, max_length=256, description="What each task's excess is multiplied by. 1/K each."
    )
    ideal: list[float] | None = Field(
        None, max_length=256, description="The loss that each task could reach alone. 0 each."
    )


def residual(weights: Array, count: int, params: StchParams) -> float:
    """The shares w_k / preference_k sum to 1."""
    preference = per_task("preference", params.preference, count, 1.0 / count)
    held = preference != 0
    if not held.all():
        return float(np.abs(weights[~held]).max())
    return abs(float((weights / preference).sum()) - 1.0)


@method(
    formula=r"\mu \log \sum_k \exp \bigl(\lambda_k (L_k - z_k) / \mu \bigr)",
    source="Lin et al. 2024, arXiv:2402.19078, its definition of STCH",
    equation="the shares w_k / preference_k sum to 1",
    residual=residual,
)
def stch(*, losses: Array, count: int, params: StchParams) -> Solved:
    """A smooth maximum of the losses' excess: the worst task counts most.

    No logarithm of the losses is taken, and they may be of any sign.
    """
    preference = per_task("preference", params.preference, count, 1.0 / count)
    ideal = per_task("ideal", params.ideal, count, 0.0)
    excess = preference * (losses - ideal)
    top = float(excess.max())
    total = np.exp((excess - top) / params.mu).sum()
    return Solved(
        weights=preference * softmax(excess / params.mu),
        value=top + params.mu * float(np.log(total)),
    )
