"""Softmax focal loss: cross-entropy's pass, with another factor per item."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import NO_WEIGHTS, Work, binder
from lossd.engine.kernels._softmax import labelled
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, 0 where ignored."""
    params: Any = call.params
    return _weights.of_labels(call.inputs["labels"], NO_WEIGHTS, params.ignore_index)


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    alpha = _weights.of_classes(call, "alpha")
    if not _weights.are_sound(alpha):
        return _weights.REFUSED
    may_ignore = params.ignore_index is not None
    constants = (
        may_ignore,
        params.ignore_index if may_ignore else 0,
        alpha,
        True,
        params.gamma,
        params.modulation_gradient == "detached",
        0.0,
    )
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
