"""Reference values by torch.nn.functional, in float64, gradients by its autograd."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
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


def module_alone(package: str, file: str) -> Any:
    """One file of an installed package, without the models that importing the package brings."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / file
    spec = importlib.util.spec_from_file_location(f"{package}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
