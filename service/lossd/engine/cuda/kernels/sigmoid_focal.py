"""Sigmoid focal loss."""

from collections.abc import Mapping
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from lossd.engine.cuda.kernels._elements import launch_elements, sigmoids, softplus
from lossd.engine.cuda.kernels._elements import parts as parts
from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.schema import Call


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    params: Any = call.params
    formula = _detached if params.modulation_gradient == "detached" else _full
    # An alpha below 0 stands for none: both factors are 1.
    numbers = (params.gamma, -1.0 if params.alpha is None else params.alpha)
    launch_elements(formula, ("logits", "targets"), inputs, job, numbers=numbers)


@triton.jit
def _sides(z, target, gamma, alpha):
    """Factors times (1 - p_t)^gamma of both sides; what each pays; sigmoids of z and -z."""
    of_positive, of_negative = sigmoids(z)
    positive_pays, negative_pays = softplus(-z), softplus(z)
    positive = tl.where(alpha < 0, 1.0, alpha) * target * tl.exp(-gamma * negative_pays)
    negative = tl.where(alpha < 0, 1.0, 1.0 - alpha) * (1.0 - target)
    negative = negative * tl.exp(-gamma * positive_pays)
    return positive, negative, positive_pays, negative_pays, of_positive, of_negative


@triton.jit
def _full(z, target, _weight, gamma, alpha):
    positive, negative, positive_pays, negative_pays, p, q = _sides(z, target, gamma, alpha)
    value = positive * positive_pays + negative * negative_pays
    slope = negative * (p + (gamma * q) * negative_pays)
    slope -= positive * (q + (gamma * p) * positive_pays)
    return value, slope


@triton.jit
def _detached(z, target, _weight, gamma, alpha):
    positive, negative, positive_pays, negative_pays, p, q = _sides(z, target, gamma, alpha)
    value = positive * positive_pays + negative * negative_pays
    return value, negative * p - positive * q
