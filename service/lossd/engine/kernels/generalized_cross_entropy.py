"""Generalized cross-entropy: cross-entropy's pass, with a bounded value of its logarithm."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._softmax import labelled
from lossd.schema import Call

_LEAST_POWER = 1e-100  # below it is cross-entropy


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
        weights,
        False,
        0.0,
        False,
        params.q if params.q >= _LEAST_POWER else 0.0,
    )
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
