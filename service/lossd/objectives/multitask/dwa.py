"""Dynamic weight average."""

import numpy as np
from pydantic import Field

from lossd.errors import OutOfRange
from lossd.objectives.multitask._catalog import Arrays, MethodParams, Solved, StateArray, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import softmax


class DwaParams(MethodParams):
    """Parameters of `dwa`."""

    temperature: float = Field(2.0, gt=0, le=1e6, description="More is nearer to equal weights.")
    end_of_epoch: bool = Field(
        False, description="Whether this call's losses are the last of an epoch."
    )


def residual(weights: Array, count: int) -> float:
    """The weights sum to K."""
    return abs(float(weights.sum()) / count - 1.0)


@method(
    formula=r"K \, \mathrm{softmax}(r / T)_k,\quad r_k = L_k(t-1) / L_k(t-2)",
    source="Liu, Johns and Davison 2019, arXiv:1803.10704, eq. 7",
    equation="the weights sum to K",
    residual=residual,
    state={
        "sum": StateArray(("tasks",)),
        "calls": StateArray(),
        "last": StateArray(("tasks",), optional=True),
        "before_last": StateArray(("tasks",), optional=True),
    },
)
def dwa(*, losses: Array, count: int, params: DwaParams, state: Arrays | None) -> Solved:
    """More weight where the mean loss of the last epoch fell least against the one before.

    The weights are 1 in the first two epochs. Each call adds its losses to the epoch in the state,
    and the call with `end_of_epoch` closes it: the next call begins another.
    """
    kept: dict[str, Array] = dict(state or {"sum": np.zeros(count), "calls": np.zeros(())})
    weights = np.ones(count)
    if "before_last" in kept and "last" in kept:
        weights = count * softmax(_ratio(kept["last"], kept["before_last"]) / params.temperature)
    kept["sum"], kept["calls"] = kept["sum"] + losses, kept["calls"] + 1.0
    if params.end_of_epoch:
        if "last" in kept:
            kept["before_last"] = kept["last"]
        kept["last"] = kept["sum"] / kept["calls"]
        kept["sum"], kept["calls"] = np.zeros(count), np.zeros(())
    return Solved(weights=weights, state=kept)


def _ratio(last: Array, before: Array) -> Array:
    if (before == 0).any():
        raise OutOfRange(
            "the mean loss of an epoch is 0, and the next one's has no ratio to it",
            at="state.before_last",
            expected="means other than 0",
            indices=[[int(i)] for i in np.flatnonzero(before == 0)[:10]],
        )
    made: Array = last / before
    return made
