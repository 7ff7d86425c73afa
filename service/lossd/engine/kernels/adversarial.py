"""Adversarial training: cross-entropy and divergence from the same exponentials."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import rows_of
from lossd.engine.kernels._divergence import BESIDE_P, BESIDE_Q, divergence
from lossd.engine.kernels._job import Job, Rows
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call; infinite divergences are left to the plain function."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    params: Any = call.params
    sides = ["clean", "adversarial"]
    if params.direction == "adversarial_clean":
        sides.reverse()
    betas = (0.0 if params.detach == side else params.beta for side in sides)
    beside = BESIDE_P if sides[0] == "clean" else BESIDE_Q
    constants = (beside, False, False, params.beta, *betas)
    keys = tuple(f"{side}_logits" for side in sides)
    inputs = tuple(call.inputs[key] for key in keys)
    return rows_of(
        divergence,
        call,
        job,
        inputs=inputs,
        labels=call.inputs["labels"],
        constants=constants,
        wrt=keys,
    )
