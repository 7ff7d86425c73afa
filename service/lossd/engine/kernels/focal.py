"""Softmax focal loss: cross-entropy's pass, with another factor per item."""

from typing import Any

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._softmax import constants_of, labelled
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


weigh = _weights.by_label


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    alpha = _weights.of_classes(call, "alpha")
    if not _weights.are_sound(alpha):
        return _weights.REFUSED
    constants = constants_of(
        params.ignore_index,
        alpha,
        weighs_factor=True,
        gamma=params.gamma,
        detached=params.modulation_gradient == "detached",
    )
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
