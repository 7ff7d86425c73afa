"""Smooth L1."""

from collections.abc import Mapping
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from lossd.engine.cuda.kernels._elements import launch_elements
from lossd.engine.cuda.kernels._elements import parts as parts
from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.schema import Call


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    params: Any = call.params
    keys = ("prediction", "target")
    formula = _formula if params.beta else _absolute
    launch_elements(formula, keys, inputs, job, numbers=(params.beta, 0.0), symmetric=True)


@triton.jit
def _absolute(prediction, target, _weight, _0, _1):
    difference = prediction - target
    slope = tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0))
    return tl.abs(difference), slope


@triton.jit
def _formula(prediction, target, _weight, beta, _1):
    difference = prediction - target
    size = tl.abs(difference)
    square_part = tl.minimum(size, beta)
    share = square_part / beta
    return share * (size - 0.5 * square_part), tl.where(difference < 0, -share, share)
