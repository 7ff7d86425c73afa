"""Fast adaptive multitask optimization."""

from typing import Literal

import numpy as np
from pydantic import Field

from lossd.errors import MissingInput
from lossd.objectives.multitask._catalog import Arrays, MethodParams, Solved, StateArray, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import check_above, per_task, softmax

_DECAY_1, _DECAY_2, _ADAM_EPSILON = 0.9, 0.999, 1e-8


class FamoParams(MethodParams):
    """Parameters of `famo`."""

    phase: Literal["weigh", "update"] = Field(
        "weigh",
        description="weigh: before the optimizer's step; update: after it, with the losses of the "
        "same batch at the new parameters.",
    )
    learning_rate: float = Field(0.025, ge=0, le=100, description="Of the weights' Adam.")
    weight_decay: float = Field(
        1e-3, ge=0, le=100, description="Of the weights' Adam; the authors' code has 1e-5."
    )
    minimum_losses: list[float] | None = Field(
        None, max_length=256, description="What each loss stays above. 0 each."
    )


def residual(weights: Array) -> float:
    """The weights are a convex combination."""
    return max(abs(float(weights.sum()) - 1.0), -float(weights.min()))


@method(
    formula=r"c \sum_k z_k \log(L_k - b_k),\quad z = \mathrm{softmax}(\xi),\ "
    r"c = \Bigl(\sum_k \frac{z_k}{L_k - b_k}\Bigr)^{-1}",
    source="Liu et al. 2023, arXiv:2306.03792, algorithm 2",
    equation="the weights are a convex combination: not below 0, with a sum of 1",
    residual=residual,
    state={
        "logits": StateArray(("tasks",)),
        "mean": StateArray(("tasks",)),
        "square": StateArray(("tasks",)),
        "updates": StateArray(),
        "losses": StateArray(("tasks",), optional=True),
    },
)
def famo(*, losses: Array, count: int, params: FamoParams, state: Arrays | None) -> Solved:
    """All losses fall at about one rate, learned from how much each fell in the last step.

    Two calls per step: `weigh` answers the weights and keeps the losses in the state; `update`,
    with the losses after the step, moves the logits by Adam. The weights of an `update` are those
    that its new logits have at its losses. Losses must be above `minimum_losses`.
    """
    bounds = per_task("minimum_losses", params.minimum_losses, count, 0.0)
    check_above(losses, bounds, "famo takes its logarithm")
    start = {name: np.zeros(count) for name in ("logits", "mean", "square")}
    kept: dict[str, Array] = dict(state or {**start, "updates": np.zeros(())})
    if params.phase == "weigh":
        kept["losses"] = losses
    else:
        if "losses" not in kept:
            raise MissingInput(
                "an update follows a call of phase weigh",
                at="state.losses",
                expected="the state that it answered",
                got="none",
            )
        before = kept.pop("losses")
        check_above(before, bounds, "famo takes its logarithm")
        kept = _updated(kept, np.log(before - bounds) - np.log(losses - bounds), params)
    shares = softmax(kept["logits"])
    over = shares / (losses - bounds)
    scale = 1.0 / over.sum()
    value = float(scale * (shares @ np.log(losses - bounds)))
    return Solved(weights=scale * over, value=value, state=kept)


def _updated(kept: dict[str, Array], fall: Array, params: FamoParams) -> dict[str, Array]:
    """One step of Adam against the softmax-weighted falls of the logarithms."""
    shares, logits = softmax(kept["logits"]), kept["logits"]
    slope = shares * (fall - shares @ fall) + params.weight_decay * logits
    mean = _DECAY_1 * kept["mean"] + (1.0 - _DECAY_1) * slope
    square = _DECAY_2 * kept["square"] + (1.0 - _DECAY_2) * slope**2
    updates = kept["updates"] + 1.0
    unbiased = mean / (1.0 - _DECAY_1**updates)
    size = np.sqrt(np.maximum(square, 0.0) / (1.0 - _DECAY_2**updates)) + _ADAM_EPSILON
    moved = logits - params.learning_rate * unbiased / size
    return {"logits": moved, "mean": mean, "square": square, "updates": updates}
