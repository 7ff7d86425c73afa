"""Symmetric cross-entropy: cross-entropy's pass, with a term in the miss."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import NO_WEIGHTS, Work, binder
from lossd.engine.kernels._softmax import constants_of, labelled
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
    passive = -params.log_zero * params.beta
    constants = constants_of(params.ignore_index, of_nats=params.alpha, of_miss=passive)
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
