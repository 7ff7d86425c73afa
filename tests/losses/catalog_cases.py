"""Reads the cases files: reference values that lossd's code did not compute."""

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
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


Law = Callable[..., None]


def of_cases(cases: Sequence[Case], most: int | None = None) -> Callable[[Law], Law]:
    """Make a law of one `case` a test of each loss, which looks at all its cases, or the first few.

    A test costs more than a law. What fails is noted with its case.
    """
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.spec.name, []).append(case)

    def decorate(law: Law) -> Law:
        def test(loss: str, **given: Any) -> None:
            for i, case in enumerate(groups[loss][:most]):
                try:
                    law(case=case, **given)
                except BaseException as err:
                    err.add_note(f"case {i} of {loss}: {case.source}")
                    raise

        signature = inspect.signature(law)
        parameters = [
            each.replace(name="loss", annotation=str) if each.name == "case" else each
            for each in signature.parameters.values()
        ]
        functools.update_wrapper(test, law)
        del test.__wrapped__  # type: ignore[attr-defined] # whose parameters are not the test's
        test.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        marked: Law = pytest.mark.parametrize("loss", groups)(test)
        return marked

    return decorate


@functools.cache
def load() -> tuple[Case, ...]:
    """Every case of every loss, read once."""
    return tuple(_read())


def _read() -> Iterator[Case]:
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
