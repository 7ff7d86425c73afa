"""Adversarial training: cross-entropy and divergence from the same exponentials."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._divergence import BESIDE_P, BESIDE_Q, divergence
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
    sides = ["clean", "adversarial"]
    if params.direction == "adversarial_clean":
        sides.reverse()
    betas = (0.0 if params.detach == side else params.beta for side in sides)
    beside = BESIDE_P if sides[0] == "clean" else BESIDE_Q
    constants = (beside, False, False, params.beta, *betas)
    keys = tuple(f"{side}_logits" for side in sides)
    return Work(divergence, keys, keys, "labels", constants)


bind = binder(work)
