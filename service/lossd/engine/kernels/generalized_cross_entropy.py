"""Generalized cross-entropy: cross-entropy's pass, with a bounded value of its logarithm."""

from typing import Any

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._softmax import constants_of, labelled
from lossd.schema import Call

_LEAST_POWER = 1e-100  # below it is cross-entropy


def applies(call: Call) -> bool:
    """Every call."""
    return True


weigh = _weights.by_class


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
