"""Independent component alignment."""

from typing import Literal

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._spectrum import kept
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class AlignedMtlParams(MethodParams):
    """Parameters of `aligned_mtl`."""

    preference: list[float] | None = Field(
        None, max_length=256, description="The combination of the aligned gradients. 1/K each."
    )
    scale: Literal["min", "median", "mean"] = Field(
        "min",
        description="Which eigenvalue of those above rounding all become: the least, the lower "
        "median, or their mean.",
    )


@method(
    formula=r"w = \sqrt{\lambda_{\min}} \, V \Lambda^{-1/2} V^\top u,\quad G = V \Lambda V^\top",
    source="Senushkin et al. 2023, arXiv:2305.19000, algorithm 1",
    equation="the aligned gradients B J are orthogonal and of one length: B G B is the scale times "
    "a projection",
)
def aligned_mtl(*, gramian: Array, count: int, params: AlignedMtlParams) -> Solved:
    """The gradients are aligned with their principal components, which become equally long.

    Components below rounding (K times float64's, of the largest eigenvalue) are left out: they
    would shrink all others. Where all gradients are 0 the weights are the preference.
    """
    preference = per_task("preference", params.preference, count, 1.0 / count)
    size = float(np.abs(gramian).max())
    if size == 0.0:
        return Solved(weights=preference, residual=0.0)
    values, vectors = np.linalg.eigh(gramian / size)
    held = kept(values)
    values, vectors = values[held], vectors[:, held]
    scale = {
        "min": values[0],
        "median": values[(len(values) - 1) // 2],
        "mean": values.mean(),
    }[params.scale]
    balance = (vectors * np.sqrt(scale / values)) @ vectors.T
    aligned = balance @ (gramian / size) @ balance / scale
    residual = float(np.abs(aligned - vectors @ vectors.T).max())
    return Solved(weights=balance @ preference, residual=residual)
