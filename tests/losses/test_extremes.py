"""Logits far out: no NaN where mathematics has none, and float32 keeps to what float64 says."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lossd.losses import CATALOG, LossSpec
from lossd.schema.describe import example_call

SIZES = (50.0, 120.0, 1e4)


def logits_of(spec: LossSpec) -> list[str]:
    """Inputs of raw scores: they are what a model may send far out."""
    return [
        name
        for name, each in spec.inputs.items()
        if each.kind == "float"
        and each.arg.gradient
        and name.endswith("logits")
        and each.arg.high is None
    ]


ON_LOGITS = {name: keys for name, spec in CATALOG.items() if (keys := logits_of(spec))}


def far_out(x: Tensor, size: float, seed: int) -> Tensor:
    """Numbers of that size, of either sign, some of them equal."""
    draw = torch.Generator().manual_seed(seed)
    signs = torch.randint(-1, 2, x.shape, generator=draw)
    return (size * signs + torch.randint(-2, 3, x.shape, generator=draw) / 8).to(torch.float64)


def computed(
    spec: LossSpec, inputs: dict[str, Any], params: Any, dtype: torch.dtype
) -> list[Tensor]:
    """Values, and the gradients of their sum by each input that has one."""
    given = {
        key: x.to(dtype).detach().requires_grad_(spec.inputs[key].arg.gradient)
        if x.is_floating_point()
        else x
        for key, x in inputs.items()
    }
    values = spec.fn(**given, params=params)
    leaves = [given[key] for key in spec.gradients if key in given]
    found = torch.autograd.grad(values.sum(), leaves, allow_unused=True, materialize_grads=True)
    return [values.detach(), *found]


@pytest.mark.parametrize("name", ON_LOGITS)
def test_float32_agrees_with_float64_and_neither_is_nan(name: str) -> None:
    spec, call = CATALOG[name], example_call(CATALOG[name])
    for size in SIZES:
        for seed in range(4):
            inputs = dict(call.inputs)
            for place, key in enumerate(ON_LOGITS[name]):
                if key in inputs:
                    inputs[key] = far_out(inputs[key], size, seed + 10 * place)
            exact = computed(spec, inputs, call.params, torch.float64)
            single = computed(spec, inputs, call.params, torch.float32)
            for wide, narrow in zip(exact, single, strict=True):
                assert not wide.isnan().any() and not narrow.isnan().any()
                sizes = wide[wide.isfinite()].abs().flatten().tolist()
                largest = max([1.0, *sizes])
                torch.testing.assert_close(narrow.double(), wide, rtol=2e-5, atol=2e-5 * largest)
