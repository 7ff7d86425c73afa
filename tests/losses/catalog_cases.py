"""Reads the cases files: reference values that lossd's code did not compute."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossd.losses import CATALOG, InputSpec, LossParams, LossSpec

FOLDER = Path(__file__).parent / "cases"
NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True)
class Case:
    """One call with the values, and the gradients of their sum, that it must give.

    `state` and `proximal`, where the loss has them, are what it must answer beside.
    """

    spec: LossSpec
    source: str
    inputs: dict[str, Any]
    params: LossParams
    values: Any
    denominator: float | None
    gradients: dict[str, Any]
    state: dict[str, Any] | None = None
    proximal: dict[str, Any] | None = None
    proximal_step: float = 1.0

    def tensors(self, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
        """The inputs as the loss's function takes them: groups are tuples of tensors."""
        return {key: _input(self.spec.inputs[key], x, dtype) for key, x in self.inputs.items()}

    def expected(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return tensor(self.values, dtype)


def numbers(value: Any) -> Any:
    """Nested lists with the strings for non-finite numbers replaced by the numbers."""
    if isinstance(value, list):
        return [numbers(each) for each in value]
    return NONFINITE.get(value, value) if isinstance(value, str) else value


def tensor(value: Any, dtype: torch.dtype) -> Tensor:
    return torch.tensor(numbers(value), dtype=torch.float64).to(dtype)


def _input(spec: InputSpec, value: Any, dtype: torch.dtype) -> Any:
    if spec.group:
        named = value if isinstance(value, dict) else {"": value}
        return tuple(tensor(each, dtype) for each in named.values())
    return torch.tensor(value, dtype=torch.int64) if spec.kind == "int" else tensor(value, dtype)


def load() -> Iterator[Case]:
    for file in sorted(FOLDER.glob("*.json")):
        spec = CATALOG[file.stem]
        for each in json.loads(file.read_text()):
            yield Case(
                spec=spec,
                source=each["from"],
                inputs=each["inputs"],
                params=spec.params(**each["params"]),
                values=each["values"],
                denominator=each.get("denominator"),
                gradients=each.get("gradients", {}),
                state=each.get("state"),
                proximal=each.get("proximal"),
                proximal_step=each.get("proximal_step", 1.0),
            )
