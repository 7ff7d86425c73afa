"""The confidence penalty: cross-entropy's pass, that sums the distances from the largest too."""

import math
from typing import Any

import numpy as np

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._entropy import with_entropy
from lossd.schema import Call


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
    may_ignore = params.ignore_index is not None
    ignored = params.ignore_index if may_ignore else 0
    threshold = math.inf if params.threshold is None else params.threshold
    constants = (may_ignore, ignored, weights, np.float32(1.0), -params.beta, threshold)
    return Work(with_entropy, ("logits",), ("logits",), "labels", constants)


bind = binder(work)
