"""Binary cross-entropy on logits."""

from collections.abc import Mapping

import triton
import triton.language as tl  # noqa: F401 # which the interpreter looks for in every module
from torch import Tensor

from lossd.engine.cuda.kernels._elements import launch_elements, sigmoids, softplus
from lossd.engine.cuda.kernels._elements import parts as parts
from lossd.engine.cuda.kernels._job import DeviceJob
from lossd.schema import Call


def launch(call: Call, inputs: Mapping[str, Tensor], job: DeviceJob) -> None:
    """Some rows."""
    weights = inputs.get("pos_weight")
    launch_elements(_formula, ("logits", "targets"), inputs, job, weights=weights)


@triton.jit
def _formula(z, target, weight, _0, _1):
    of_positive, of_negative = sigmoids(z)
    positive, negative = target * weight, 1.0 - target
    value = positive * softplus(-z) + negative * softplus(z)
    return value, negative * of_positive - positive * of_negative
