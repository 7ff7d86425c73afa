"""Tasks for the cases: seeded numbers, and what is patched to know what foreign code draws.

A case is a list of calls that carry the state; each says what it is given and what must come out.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def gradients(seed: int, tasks: int, parameters: int, *, pull: float = 0.0) -> Array:
    """Gradients (K, P), multiples of 1/64. `pull` moves them to one side: less conflict."""
    drawn = np.random.default_rng(seed).integers(-128, 128, (tasks, parameters)) / 64
    return drawn + pull


def losses(seed: int, tasks: int) -> Array:
    return np.random.default_rng(seed).integers(1, 256, tasks) / 64


def case(source: str, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"from": source, "calls": [_listed(call) for call in calls], **more}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_listed(each) for each in value]
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    return float(value) if isinstance(value, np.floating) else value


def tensor(x: Array) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


@contextlib.contextmanager
def drawing(name: str, draw: Callable[[int], Any]) -> Iterator[None]:
    """`torch.<name>` draws what is known, by the number of elements that is asked for."""

    def drawn(size: Any, **_: Any) -> Tensor:
        return torch.as_tensor(draw(int(np.prod(tuple(size) if np.ndim(size) else (size,)))))

    with mock.patch.object(torch, name, drawn):
        yield
