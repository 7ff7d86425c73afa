"""What several methods check of vectors of one number per task."""

from collections.abc import Sequence

import numpy as np

from lossd.errors import BadParams, OutOfRange
from lossd.objectives.multitask._tasks import Array


def per_task(name: str, given: Sequence[float] | None, count: int, default: float) -> Array:
    """A parameter with one number per task. Raises `BadParams` where there are not K."""
    if given is None:
        return np.full(count, default)
    if len(given) != count:
        raise BadParams(
            "not one number per task",
            at=f"params.{name}",
            expected=f"{count} numbers",
            got=str(len(given)),
        )
    return np.array(given, dtype=np.float64)


def check_above(losses: Array, bounds: Array, why: str) -> None:
    """Raises `OutOfRange` where a loss is not above its bound."""
    low = losses <= bounds
    if low.any():
        first = int(low.argmax())
        raise OutOfRange(
            f"a loss is not above {bounds[first]:g}: {why}",
            at="inputs.losses",
            expected=f"more than {bounds[first]:g}",
            got=f"{losses[first]:g}",
            indices=[[int(i)] for i in np.flatnonzero(low)[:10]],
        )


def softmax(x: Array) -> Array:
    """The softmax of a vector."""
    powers = np.exp(x - x.max())
    made: Array = powers / powers.sum()
    return made
