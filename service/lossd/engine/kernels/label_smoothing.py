"""Label smoothing: cross-entropy's pass over spread targets, weighed by items."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import NO_WEIGHTS, Work, binder
from lossd.engine.kernels._softmax import spread
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """The class weight of the label; 0 if ignored."""
    params: Any = call.params
    weights = _weights.of_classes(call, "class_weights")
    return _weights.of_labels(call.inputs["labels"], weights, params.ignore_index)


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    weights = _weights.of_classes(call, "class_weights")
    if not _weights.are_sound(weights):
        return _weights.REFUSED
    may_ignore = params.ignore_index is not None
    constants = (
        may_ignore,
        params.ignore_index if may_ignore else 0,
        NO_WEIGHTS,
        params.smoothing,
        math.inf,
        params.spread == "others",
        weights,
    )
    floats = ("logits", "target_probabilities")  # the second is none of its inputs
    return Work(spread, floats, ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
