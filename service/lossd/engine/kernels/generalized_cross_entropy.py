"""Generalized cross-entropy: cross-entropy's pass, with a bounded value of its logarithm."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._softmax import constants_of, labelled
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
    power = params.q if params.q >= _LEAST_POWER else 0.0
    constants = constants_of(params.ignore_index, weights, power=power)
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
