"""What a loss costs: counted from the operations that its own example runs, never typed in."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lossd.losses._spec import LossParams, LossSpec

_TRANSCENDENTAL = {
    "exp", "expm1", "log", "log1p", "sigmoid", "tanh", "pow", "softplus", "log_sigmoid_forward",
    "_log_softmax", "_softmax", "logsumexp", "sqrt", "linalg_vector_norm", "logaddexp", "xlogy",
    "_log_softmax_backward_data", "_softmax_backward_data", "softplus_backward",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Per element of the differentiable inputs, of value and gradient together.

    - `operations`: elements written by any operation.
    - `transcendentals`: of those, exponentials, logarithms, powers and roots.
    - `bytes_float32`: bytes written, which bounds the memory traffic of the plain function.
    """

    operations: float
    transcendentals: float
    bytes_float32: float


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.operations = self.transcendentals = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, Tensor):
                self.operations += each.numel()
                self.bytes += each.numel() * each.element_size()
                if _is_transcendental(func.overloadpacket.__name__, args):
                    self.transcendentals += each.numel()
        return out


def _is_transcendental(name: str, args: Any) -> bool:
    """A power that is a plain number of multiplications is none."""
    whole_power = name == "pow" and isinstance(args[1], int | float) and args[1] in (0, 1, 2, 3)
    return name in _TRANSCENDENTAL and not whole_power


def count_cost(spec: LossSpec, arguments: dict[str, Any], params: LossParams) -> Cost:
    """Count value and gradient of a loss on the given float32 inputs."""
    leaves: list[Tensor] = []
    for key in spec.gradients:
        if key in arguments:
            group = arguments[key] if isinstance(arguments[key], tuple) else (arguments[key],)
            leaves += [each.requires_grad_() for each in group]
    counter = _Counter()
    with counter:
        total = spec.fn(**arguments, params=params).sum()
        torch.autograd.grad(total, leaves, materialize_grads=True)
    elements = sum(leaf.numel() for leaf in leaves)
    return Cost(
        round(counter.operations / elements, 2),
        round(counter.transcendentals / elements, 2),
        round(counter.bytes / elements, 2),
    )
