"""Kullback-Leibler divergence of logits or log-probabilities, either way round."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._divergence import BESIDE_P, divergence
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call; infinite divergences are left to the plain function."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    sides = [
        next(key for key in (f"{side}_logits", f"{side}_log_probabilities") if key in call.inputs)
        for side in ("p", "q")
    ]
    if params.direction == "reverse":
        sides.reverse()
    are_normal = [key.endswith("log_probabilities") for key in sides]
    constants = (BESIDE_P, *are_normal, 1.0, 1.0, 1.0)
    return Work(divergence, tuple(sides), tuple(sides), constants=constants)


bind = binder(work)
