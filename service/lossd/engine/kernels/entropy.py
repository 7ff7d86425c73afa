"""Entropy: the sum of exponentials, and of each times its distance from the largest."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import NO_WEIGHTS, Work, binder
from lossd.engine.kernels._entropy import with_entropy
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    constants = (False, 0, NO_WEIGHTS, np.float32(1.0 / params.temperature), 1.0, math.inf)
    return Work(with_entropy, ("logits",), ("logits",), "", constants)


bind = binder(work)
