"""Cross-entropy: one exponential per logit gives the log-sum-exp, the softmax and the miss."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._softmax import labelled, spread
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call: labels or distributions, class weights, smoothing, any layout."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """The class weight of the label, or the mean class weight under the targets; 0 if ignored."""
    inputs, params = call.inputs, call.params
    weights = _weights.of_classes(call, "class_weights")
    if "labels" in inputs:
        ignore_index = getattr(params, "ignore_index", None)
        return _weights.of_labels(inputs["labels"], weights, ignore_index)
    if not weights.size:
        return 1.0
    targets = inputs["target_probabilities"].float()
    shares = torch.einsum("nc...,c->n...", targets, torch.from_numpy(weights))
    of_item: NDArray[np.float64] = shares.double().reshape(len(targets), -1).numpy()
    return of_item


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    inputs = call.inputs
    params: Any = call.params
    weights = _weights.of_classes(call, "class_weights")
    if not _weights.are_sound(weights):
        return _weights.REFUSED
    may_ignore = params.ignore_index is not None
    constants: tuple[Any, ...] = (may_ignore, params.ignore_index if may_ignore else 0, weights)
    if "labels" in inputs and not params.label_smoothing:
        constants = (*constants, False, 0.0, False, 0.0)
        return Work(labelled, ("logits",), ("logits",), "labels", constants, has_recipe=True)
    tolerance = math.inf
    if "target_probabilities" in inputs:
        tolerance = _weights.tolerance_of(call, "target_probabilities")
    constants = (*constants, params.label_smoothing, tolerance)
    floats = ("logits", "target_probabilities")
    return Work(spread, floats, ("logits",), "labels", constants, has_recipe=True)


bind = binder(work)
