"""Laws of the engine, for every loss: reductions, weights, cutting, precision."""

import math

import pytest
import torch
from catalog_cases import Case, of_cases, tensor

from case_requests import CASES, finite, message_of, rows_of, run
from lossd.losses import CATALOG
from lossd.schema import Result
from lossd.wire import Message

every_case = of_cases(CASES)
first_cases = of_cases(CASES, 2)  # for laws that do not depend on the numbers
INDEPENDENT = [case for case in CASES if case.spec.coupling == "independent" and finite(case)]
independent = of_cases(INDEPENDENT)


@every_case
def test_sum_and_denominator_are_those_of_the_reference(case: Case) -> None:
    got = run(case, message_of(case))
    values = case.expected()
    want = case.denominator if case.spec.weights else float(values.numel())
    assert got.sum == pytest.approx(values.sum().item(), rel=1e-9, abs=1e-12)
    assert got.denominator == pytest.approx(want, rel=1e-12)
    assert got.count == values.numel()


@every_case
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_gradient_is_that_of_the_value_returned(case: Case, reduction: str) -> None:
    got = run(case, message_of(case, reduction=reduction))
    scale = 1.0
    if reduction == "mean":
        scale = 1 / got.denominator if got.denominator else 0.0 if got.sum == 0 else 1.0
        if got.denominator:
            assert got.value == got.sum / got.denominator
    else:
        assert got.value == (got.sum if reduction == "sum" else None)
    for key, want in case.gradients.items():
        members = want if isinstance(want, dict) else {"": want}
        for member, each in members.items():
            found = got.gradients[f"{key}/{member}" if member else key]
            if not scale:
                assert not found.any()
                continue
            expected = scale * tensor(each, torch.float64)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@first_cases
def test_nothing_but_what_is_asked_for_is_answered(case: Case) -> None:
    got = run(case, message_of(case, outputs=["value"]))
    assert got.rows is None and not got.gradients


@independent
def test_a_batch_cut_in_two_and_merged_equals_the_whole(case: Case) -> None:
    message = message_of(case, reduction="sum")
    whole = run(case, message)
    cut = case.expected().shape[0] // 2
    parts = [run(case, rows_of(case, message, rows)) for rows in (slice(cut), slice(cut, None))]
    assert sum(part.sum for part in parts) == pytest.approx(whole.sum, rel=1e-12, abs=1e-12)
    assert sum(part.denominator for part in parts) == pytest.approx(whole.denominator, rel=1e-12)
    assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)
    for key in (key for key in case.gradients if case.spec.inputs[key].scope == "row"):
        merged = torch.cat([part.gradients[key] for part in parts])
        torch.testing.assert_close(merged, whole.gradients[key], rtol=1e-13, atol=0)


@independent
def test_row_weights_count_a_row_as_often_as_they_say(case: Case) -> None:
    message = message_of(case)
    count = case.expected().shape[0]
    times = torch.arange(count) % 3
    weighted = Message({**message.tensors, "row_weights": times.double()}, message.fields)
    repeated = rows_of(case, message, torch.arange(count).repeat_interleave(times))
    got, want = run(case, weighted), run(case, repeated)
    assert got.sum == pytest.approx(want.sum, rel=1e-12, abs=1e-12)
    assert got.denominator == pytest.approx(want.denominator, rel=1e-12)
    if want.value is None:
        assert got.value is None
    else:
        assert got.value == pytest.approx(want.value, rel=1e-12, abs=1e-12)


@independent
def test_a_cotangent_gives_the_vector_jacobian_product(case: Case) -> None:
    message = message_of(case)
    cotangent = torch.linspace(-1, 2, case.expected().numel(), dtype=torch.float64)
    cotangent = cotangent.reshape(case.expected().shape)
    pulled = Message({**message.tensors, "cotangent": cotangent}, message.fields)
    got = run(case, pulled)
    for i in range(case.expected().shape[0]):
        alone = torch.zeros_like(cotangent)
        alone[i] = cotangent[i]
        one = run(case, Message({**message.tensors, "cotangent": alone}, message.fields))
        for key in (key for key in case.gradients if case.spec.inputs[key].scope == "row"):
            torch.testing.assert_close(one.gradients[key][i], got.gradients[key][i])


@independent
def test_no_row_sees_its_neighbours(case: Case) -> None:
    """Over sizes, offsets, tails and orders. To rounding: torch's own vector tails differ."""
    message = message_of(case, torch.float32, reduction="sum", nonfinite="propagate")
    alone = run(case, message)
    count = case.expected().shape[0]
    generator = torch.Generator().manual_seed(count)
    for size in (1, 2, 3, 7, 31, 32, 33, 100):
        rows = torch.randint(count, (size,), generator=generator)
        got = run(case, rows_of(case, message, rows))
        torch.testing.assert_close(got.rows, alone.rows[rows], rtol=1e-5, atol=1e-7)
        for key in (key for key in case.gradients if case.spec.inputs[key].scope == "row"):
            found, want = got.gradients[key], alone.gradients[key][rows]
            torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-6)


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32_and_rounded_once(
    case: Case, dtype: torch.dtype
) -> None:
    assert_half_is_rounded_once(case, dtype, (None,))


@first_cases
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_rounded_once_to_what_is_asked_for(
    case: Case, dtype: torch.dtype
) -> None:
    assert_half_is_rounded_once(case, dtype, ("float16", "bfloat16", "float32", "float64"))


def assert_half_is_rounded_once(
    case: Case, dtype: torch.dtype, asked: tuple[str | None, ...]
) -> None:
    message = message_of(case, dtype, nonfinite="propagate")
    widened = {k: x.float() if x.is_floating_point() else x for k, x in message.tensors.items()}
    if "unnormalized_targets" in message.fields["params"]:  # rounding may cost them their sum
        message.fields["params"]["unnormalized_targets"] = True
    want = run(case, Message(widened, message.fields))
    for each in asked:
        got = run(case, Message(message.tensors, {**message.fields, "gradient_dtype": each}))
        assert_rounded(got, want, getattr(torch, each) if each else dtype)


def assert_rounded(got: Result, want: Result, dtype: torch.dtype) -> None:
    assert got.sum == want.sum or (math.isnan(got.sum) and math.isnan(want.sum))
    assert torch.equal(got.rows.nan_to_num(), want.rows.nan_to_num())
    for key, gradient in got.gradients.items():
        assert gradient.dtype == dtype
        rounded = want.gradients[key].to(gradient.dtype)
        assert torch.equal(gradient.nan_to_num(), rounded.nan_to_num())


@first_cases
def test_gradients_come_in_the_dtype_that_is_asked_for(case: Case) -> None:
    for asked in ("float16", "bfloat16", "float32", "float64"):
        got = run(case, message_of(case, gradient_dtype=asked))
        assert all(x.dtype == getattr(torch, asked) for x in got.gradients.values())


@pytest.mark.parametrize("name", CATALOG)
def test_an_empty_batch_has_a_defined_answer(name: str) -> None:
    case = next(case for case in CASES if case.spec.name == name)
    if case.spec.coupling == "whole":
        return
    got = run(case, rows_of(case, message_of(case), slice(0)))
    assert (got.value, got.sum, got.denominator, got.count) == (None, 0.0, 0.0, 0)
    assert [each.code for each in got.warnings] == ["zero_denominator"]
    for key, gradient in got.gradients.items():
        shared = case.spec.inputs[key].scope == "shared"
        assert not gradient.any() if shared else gradient.shape[0] == 0
