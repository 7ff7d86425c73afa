"""Reference values by torch.nn.functional, in float64, gradients by its autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def torch_case(
    source: str,
    function: Callable[..., Tensor],
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    wrt: tuple[str, ...],
    denominator: float | None = None,
) -> dict[str, Any]:
    """`function(**inputs)` with reduction none, on tensors made of the given lists."""
    tensors = {name: _tensor(x) for name, x in inputs.items()}
    leaves = [tensors[name].requires_grad_() for name in wrt]
    values = function(**tensors)
    found = torch.autograd.grad(values.sum(), leaves)
    case = {
        "from": source,
        "inputs": inputs,
        "params": params or {},
        "values": values.detach().tolist(),
        "gradients": {name: x.tolist() for name, x in zip(wrt, found, strict=True)},
    }
    if denominator is not None:
        case["denominator"] = denominator
    return case


def _tensor(x: Any) -> Tensor:
    made = torch.tensor(x)
    return torch.tensor(x, dtype=torch.float64) if made.is_floating_point() else made


def randoms(seed: int, *shape: int, low: float = -3.0, high: float = 3.0) -> Any:
    """Seeded numbers that float32 holds exactly: multiples of 1/64, none 0."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(int(low * 64), int(high * 64), shape, generator=generator)
    return (torch.where(steps == 0, 1, steps).double() / 64).tolist()


def labels(seed: int, classes: int, *shape: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(classes, shape, generator=generator).tolist()
