"""Squared error."""

from collections.abc import Mapping

import triton
import triton.language as tl  # noqa: F401 # which the interpreter looks for in every module
from torch import Tensor

from lossd.engine.cuda.kernels._elements import launch_elements
from lossd.engine.cuda.kernels._elements import parts as parts
from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.schema import Call


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    launch_elements(_formula, ("prediction", "target"), inputs, job, symmetric=True)


@triton.jit
def _formula(prediction, target, _weight, _0, _1):
    difference = prediction - target
    return difference * difference, 2.0 * difference
