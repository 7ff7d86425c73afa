"""Symmetric cross-entropy: cross-entropy's pass, with a term in the miss."""

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
    passive = -params.log_zero * params.beta
    constants = constants_of(params.ignore_index, of_nats=params.alpha, of_miss=passive)
    return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
