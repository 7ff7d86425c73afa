"""Cross-entropy: one exponential per logit gives the log-sum-exp, the softmax and the miss."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import rows_of
from lossd.engine.kernels._job import Job, Rows
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


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    inputs = call.inputs
    params: Any = call.params
    weights = _weights.of_classes(call, "class_weights")
    if not _weights.are_sound(weights):
        return _weights.refuse
    logits, labels = inputs["logits"], inputs.get("labels")
    targets = inputs.get("target_probabilities")
    may_ignore = params.ignore_index is not None
    constants: tuple[Any, ...] = (may_ignore, params.ignore_index if may_ignore else 0, weights)
    core: Any = labelled
    floats: tuple[Any, ...] = (logits,)
    if labels is not None and not params.label_smoothing:
        constants = (*constants, False, 0.0, False, 0.0)
    else:
        tolerance = math.inf
        if targets is not None:
            tolerance = _weights.tolerance_of(call, "target_probabilities")
        constants = (*constants, params.label_smoothing, tolerance)
        core, floats = spread, (logits, targets)
    return rows_of(
        core,
        call,
        job,
        inputs=floats,
        labels=labels,
        constants=constants,
        wrt=("logits",),
        has_recipe=True,
    )
