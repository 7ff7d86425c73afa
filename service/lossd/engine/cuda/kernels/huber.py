"""Huber loss."""

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
    launch_elements(_formula, keys, inputs, job, numbers=(params.delta, 0.0), symmetric=True)


@triton.jit
def _formula(prediction, target, _weight, delta, _1):
    difference = prediction - target
    size = tl.abs(difference)
    square_part = tl.minimum(size, delta)
    value = square_part * (size - 0.5 * square_part)
    return value, tl.where(difference < 0, -square_part, square_part)
