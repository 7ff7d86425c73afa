"""Sigmoid focal loss: three exponentials per element."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._logistic import logistic
from lossd.schema import Call

_ONE = np.float32(1)


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, or its target where only positives count."""
    params: Any = call.params
    if params.denominator == "items":
        return 1.0
    targets = call.inputs["targets"].reshape(call.item_shape[0], -1)
    of_rows: NDArray[np.float64] = targets.sum(1, dtype=torch.float64).numpy()
    return of_rows


@inlined()
def _of_elements(z: Any, t: Any, c: Any, gamma: Any, slope: Any, alpha: Any, beta: Any) -> Any:
    miss_negative, miss_positive, p, q = logistic(z)
    positive = alpha * (t * exp_of_negative(-gamma * miss_negative))
    negative = beta * ((_ONE - t) * exp_of_negative(-gamma * miss_positive))
    return (
        positive * miss_positive + negative * miss_negative,
        negative * (p + slope * q * miss_negative) - positive * (q + slope * p * miss_positive),
    )


_rows = compiled_rows("sigmoid_focal", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    params: Any = call.params
    # The derivative of (1 - p)^gamma is a multiple of gamma, so a detached one is that of gamma 0.
    slope = params.gamma if params.modulation_gradient == "full" else 0.0
    alpha, beta = (1.0, 1.0) if params.alpha is None else (params.alpha, 1.0 - params.alpha)
    constants = (params.gamma, slope, alpha, beta)
    return Formula(_rows, "logits", "targets", constants, shares=True)


bind = binder(formula)
