"""Properties every loss must have. Nothing here names a loss: the catalog is the parameter."""

import inspect
from typing import Any

import pytest
import torch
from catalog_cases import FOLDER, Case, load, of_cases, tensor
from torch import Tensor

from lossd.losses import CATALOG, LossSpec

CASES = load()
every_loss = pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
every_case = of_cases(CASES)
TOLERANCE = {torch.float64: (1e-9, 1e-12), torch.float32: (2e-5, 1e-6)}


def differentiable(case: Case, tensors: dict[str, Any]) -> dict[str, list[Tensor]]:
    """The leaves of each differentiable input that the case gives; groups have several."""
    leaves = {}
    for key in case.spec.gradients:
        if key in tensors:
            group = tensors[key] if isinstance(tensors[key], tuple) else (tensors[key],)
            leaves[key] = [each.requires_grad_() for each in group]
    return leaves


def expected_gradients(case: Case, key: str, dtype: torch.dtype) -> list[Tensor]:
    want = case.gradients[key]
    return [tensor(each, dtype) for each in (want.values() if isinstance(want, dict) else [want])]


@every_loss
def test_comes_with_values_it_did_not_compute(spec: LossSpec) -> None:
    assert (FOLDER / f"{spec.name}.json").exists()
    mine = [case for case in CASES if case.spec is spec]
    assert any(case.gradients.keys() >= set(spec.gradients) & case.inputs.keys() for case in mine)
    # What needs company stands in for logits, and is held to them in tests/engine/test_linear.py.
    own = {name for name in spec.gradients if not spec.inputs[name].needs}
    assert own <= {key for case in mine for key in case.gradients}


@every_loss
def test_says_what_it_is(spec: LossSpec) -> None:
    assert inspect.getdoc(spec.fn) and spec.source and spec.formula and spec.units
    assert all(getattr(spec.card, key) for key in spec.card.__slots__)
    assert all(each.arg.doc for each in spec.inputs.values())
    assert all(each.description for each in spec.params.model_fields.values())


@every_loss
def test_inputs_that_carry_rows_name_them_first(spec: LossSpec) -> None:
    if spec.coupling == "whole":
        assert spec.items == ()
    else:
        assert spec.items[0] == "rows"


@every_case
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_values_match_the_reference(case: Case, dtype: torch.dtype) -> None:
    got = case.spec.fn(**case.tensors(dtype), params=case.params)
    rtol, atol = TOLERANCE[dtype]
    torch.testing.assert_close(got.double(), case.expected(), rtol=rtol, atol=atol)


@every_case
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_gradients_match_the_reference(case: Case, dtype: torch.dtype) -> None:
    tensors = case.tensors(dtype)
    leaves = differentiable(case, tensors)
    flat = [leaf for key in case.gradients for leaf in leaves[key]]
    total = case.spec.fn(**tensors, params=case.params).sum()
    got = iter(torch.autograd.grad(total, flat, materialize_grads=True))
    rtol, atol = TOLERANCE[dtype]
    for key in case.gradients:
        for want in expected_gradients(case, key, dtype):
            torch.testing.assert_close(next(got), want, rtol=rtol, atol=atol)


@every_case
def test_denominator_matches_the_reference(case: Case) -> None:
    if case.spec.weights is None:
        assert case.denominator is None
        return
    tensors = case.tensors()
    wanted = {key: tensors[key] for key in case.spec.weights_inputs if key in tensors}
    got = case.spec.weights(params=case.params, **wanted)
    assert got.shape == case.expected().shape
    assert case.denominator is not None
    assert got.sum().item() == pytest.approx(case.denominator, rel=1e-12)


@every_loss
def test_gradient_is_the_derivative_of_the_value(spec: LossSpec) -> None:
    """On smooth points: random inputs of the shapes of the loss's cases."""
    smooth = [case for case in CASES if case.spec is spec and case.source.startswith("smooth")]
    assert smooth, "name a case's source 'smooth: ...' where the loss is differentiable"
    for case in smooth:
        tensors = case.tensors()
        leaves = differentiable(case, tensors)
        flat = [leaf for group in leaves.values() for leaf in group]

        def of_leaves(
            *xs: Tensor, case: Case = case, tensors: dict[str, Any] = tensors, leaves: Any = leaves
        ) -> Tensor:
            rest = list(xs)
            changed = dict(tensors)
            for key, group in leaves.items():
                taken, rest = tuple(rest[: len(group)]), rest[len(group) :]
                changed[key] = taken if isinstance(tensors[key], tuple) else taken[0]
            return case.spec.fn(**changed, params=case.params)

        torch.autograd.gradcheck(of_leaves, flat)
