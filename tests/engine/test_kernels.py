"""What every kernel promises: the plain function's answers, checks, and bits of its own."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
import torch
from catalog_cases import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from case_requests import CASES, message_of
from lossd.engine.compute import compute, compute_plainly, pick_kernel
from lossd.engine.fused import ONE_SLICE, Slices, compute_by_kernel
from lossd.engine.kernels import KERNELS, Rows
from lossd.engine.kernels._rows import exp_and_sum
from lossd.engine.memory import Buffers
from lossd.errors import LossdError
from lossd.losses import CATALOG
from lossd.schema import Call, Result, check_values, parse_call
from lossd.wire import Message
from random_calls import DTYPES, Variant, call_of, variants

CPU = torch.device("cpu")
BUFFERS = Buffers(1 << 26)


def variants_of(name: str) -> list[Variant]:
    """Those that the loss's kernel takes."""
    return [each for each in variants(name) if KERNELS[name].applies(call_of(each, 2, 3))]


VARIANTS = [each for name in KERNELS for each in variants_of(name)]
every_kernel = pytest.mark.parametrize("name", KERNELS)
OF_ROWS = [name for name in KERNELS if CATALOG[name].coupling == "independent"]
every_kernel_of_rows = pytest.mark.parametrize("name", OF_ROWS)
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)
# rows, width, inner, kind, scale
SHAPES: list[tuple[int, int, tuple[int, ...], str, float]] = [
    (6, 1, (), "normal", 3.0),
    (33, 10, (), "normal", 3.0),
    (5, 2, (), "sure", 1.0),
    (9, 17, (), "masked", 3.0),
    (3, 67, (), "ties", 2.0),
    (7, 9, (), "normal", 50.0),
    (7, 9, (), "normal", 1e4),
    (2, 1001, (), "normal", 1.0),
    (3, 6, (5,), "normal", 3.0),
    (2, 3, (4, 2), "sure", 1.0),
]
WIDE = [
    (2, 5000, (), "normal", 1.0),
    (1, 70_000, (), "normal", 1.0),
    (2, 19, (71, 60), "ties", 2.0),
]


def by_kernel(call: Call, slices: Slices = ONE_SLICE) -> Result | None:
    kernel = pick_kernel(call, CPU)
    assert kernel is not None
    return compute_by_kernel(kernel, call, BUFFERS, slices)


def in_float64(call: Call) -> Call:
    wide = {key: x.double() if x.is_floating_point() else x for key, x in call.inputs.items()}
    return dataclasses.replace(call, inputs=wide)


def tensors_of(result: Result) -> dict[str, Tensor]:
    rows = {} if result.rows is None else {"rows": result.rows}
    return {**rows, **result.gradients, **result.condensed}


def assert_as_good_as_plain(call: Call, got: Result) -> None:
    """Errors against float64 are no larger than the plain function's in float32, and a few ulp."""
    true, plain = compute_plainly(in_float64(call), CPU), compute_plainly(call, CPU)
    found, allowed = tensors_of(got), tensors_of(plain)
    size = max(float(x.abs().max()) for x in in_float64(call).inputs.values() if x.numel())
    size = min(size, 1e5)  # -inf may be among them
    assert found.keys() == allowed.keys()
    for key, want in tensors_of(true).items():
        x, wide = found[key], found[key].double()
        assert x.dtype == allowed[key].dtype and x.shape == allowed[key].shape
        finite = want.isfinite() & allowed[key].isfinite()
        assert torch.equal(wide[~finite], allowed[key].double()[~finite])
        if not finite.any():
            continue
        error, plain_error = (
            float((each.double() - want)[finite].abs().max()) for each in (x, allowed[key])
        )
        unit = {torch.float16: 5e-4, torch.bfloat16: 4e-3}.get(x.dtype, 3e-7)
        unit *= max(1.0, _largest_power(call) / 2)
        least = {torch.float16: 6e-8}.get(x.dtype, 1e-37) + 4e-16 * size
        assert error <= plain_error + unit * float(want[finite].abs().max()) + least, key
    assert got.count == plain.count
    assert got.denominator == pytest.approx(true.denominator, rel=1e-6)
    if abs(true.sum) < math.inf:
        assert got.sum == pytest.approx(true.sum, rel=2e-6, abs=abs(plain.sum - true.sum) + 1e-15)
    else:
        assert got.sum == true.sum
    assert (got.value is None) == (plain.value is None)
    assert [each.code for each in got.warnings] == [each.code for each in plain.warnings]


def _largest_power(call: Call) -> float:
    """A power's relative error is that of its base as many times."""
    powers = [x for key, x in call.params.model_dump().items() if key.startswith("gamma")]
    return max(powers, default=0.0)


@every_variant
def test_values_and_gradients_are_as_good_as_the_plain_ones(variant: Variant) -> None:
    """Where a divergence is infinite, or nothing counts in a mean, there is no kernel's answer."""
    answered = 0
    for i, (rows, width, inner, kind, scale) in enumerate(SHAPES):
        for dtype in DTYPES:
            form = {"inner": inner, "kind": kind, "scale": scale, "dtype": dtype, "seed": i}
            call = call_of(variant, rows, width, **form, reduction=("mean", "sum")[i % 2])
            got = by_kernel(call)
            if got is not None:
                answered += 1
                assert_as_good_as_plain(call, got)
    assert answered >= 24


@every_kernel
@pytest.mark.parametrize("shape", WIDE, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_calls_are_as_good_as_the_plain_ones(name, shape, dtype) -> None:
    rows, width, inner, kind, scale = shape
    for variant in variants_of(name)[:: max(1, len(variants_of(name)) // 4)]:
        call = call_of(variant, rows, width, inner=inner, kind=kind, scale=scale, dtype=dtype)
        got = by_kernel(call)
        if got is not None:
            assert_as_good_as_plain(call, got)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_legal_call_is_as_good_as_the_plain_one(data: Any) -> None:
    variant = data.draw(st.sampled_from(VARIANTS))
    rows, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 90))
    fields: dict[str, Any] = {
        "reduction": data.draw(st.sampled_from(["mean", "sum", "none"])),
        "outputs": data.draw(st.sampled_from([["value"], ["rows"], ["gradients", "rows"]])),
    }
    asked = data.draw(st.sampled_from([None, "float32", "float16", "bfloat16"]))
    if asked is not None:
        fields["gradient_dtype"] = asked
    call = call_of(
        variant,
        rows,
        width,
        inner=data.draw(st.sampled_from([(), (1,), (3,), (2, 4)])),
        kind=data.draw(st.sampled_from(["normal", "ties", "masked", "sure"])),
        scale=data.draw(st.sampled_from([0.01, 1.0, 10.0, 100.0])),
        dtype=data.draw(st.sampled_from(DTYPES)),
        seed=data.draw(st.integers(0, 1 << 30)),
        **fields,
    )
    if data.draw(st.booleans()):
        weights = torch.rand(rows, dtype=torch.float64)
        weights[0] = 0.0
        call = dataclasses.replace(call, row_weights=weights)
    if data.draw(st.booleans()):
        call = dataclasses.replace(call, cotangent=torch.randn(call.item_shape))
    got = by_kernel(call)
    if got is not None:
        assert_as_good_as_plain(call, got)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.spec.name in KERNELS],
    ids=lambda case: f"{case.spec.name}-{case.source}",
)
def test_reference_cases_in_float32(case: Case) -> None:
    message = message_of(case, torch.float32, reduction="sum")
    got = compute(parse_call(case.spec.name, message), CPU)
    assert got.rows is not None
    torch.testing.assert_close(got.rows, case.expected(torch.float32), rtol=2e-5, atol=2e-6)
    for key, want in case.gradients.items():
        found = got.gradients[key].double()
        expected = torch.tensor(want, dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)


def bad_calls(call: Call) -> Iterator[tuple[str, Call]]:
    """The call with one number of one input made bad, at its ends and in its middle."""
    for key, x in call.inputs.items():
        bad: list[float] = [math.nan, math.inf, -math.inf, -0.5, 1.5, 1e-3, 3e38, -3e38]
        if not x.is_floating_point():
            bad = [-1, -100, 0, 2, 10_000, (1 << 31) + 1, (1 << 63) - 1, -(1 << 63)]
        for value in bad:
            for at in (0, x.numel() // 2, x.numel() - 1):
                changed = x.clone()
                changed.view(-1)[at] = value
                yield f"{key}={value}", _with(call, key, changed)
        if x.is_floating_point():
            yield f"{key} all -inf", _with(call, key, torch.full_like(x, -math.inf))
            for factor in (1.00005, 1.0001, 1.00011, 1.001):
                yield f"{key} times {factor}", _with(call, key, x * factor)


def _with(call: Call, key: str, x: Tensor) -> Call:
    return dataclasses.replace(call, inputs={**call.inputs, key: x})


@every_variant
def test_bad_inputs_are_refused_as_without_a_kernel(variant: Variant) -> None:
    for inner in ((), (3,)):
        for what, call in bad_calls(call_of(variant, 4, 18, inner=inner)):
            expected: LossdError | None = None
            try:
                check_values(call)
            except LossdError as err:
                expected = err
            if expected is None:
                got = by_kernel(call)
                if got is not None and "e+38" not in what:
                    assert_as_good_as_plain(call, got)
                continue
            assert by_kernel(call) is None, what
            with pytest.raises(type(expected)) as caught:
                compute(call, CPU)
            assert str(caught.value) == str(expected)
            assert caught.value.at == expected.at and caught.value.indices == expected.indices


class CutAt(Slices):
    """Slices that are cut in given places, one after another."""

    def __init__(self, *cuts: int) -> None:
        super().__init__(1)
        self.cuts = cuts

    def run(self, work: Rows, rows: int, elements: int) -> int:
        places = [0, *(cut for cut in self.cuts if cut < rows), rows]
        found = 0
        for start, stop in itertools.pairwise(places):
            found |= work(start, stop)
        return found


def rows_of(call: Call, rows: Any) -> Call:
    count = call.item_shape[0]
    inputs = {
        key: x[rows].contiguous() if x.shape[:1] == (count,) and key in _per_row(call) else x
        for key, x in call.inputs.items()
    }
    size = len(torch.arange(count)[rows])
    return dataclasses.replace(call, inputs=inputs, item_shape=(size, *call.item_shape[1:]))


def _per_row(call: Call) -> list[str]:
    return [key for key in call.inputs if CATALOG[call.spec.name].inputs[key].scope == "row"]


def assert_same_bits(one: Result | None, other: Result | None, rows: Any) -> None:
    assert one is not None and other is not None
    for key, x in tensors_of(one).items():
        assert torch.equal(x, tensors_of(other)[key][rows]), key


@every_kernel_of_rows
@pytest.mark.parametrize("width", [*range(1, 68), 127, 128, 129, 1000, 1001, 4097])
def test_a_row_has_the_same_bits_wherever_it_stands(name: str, width: int) -> None:
    available = variants_of(name)
    variant = available[width % len(available)]
    inner = (3,) if width % 5 == 0 else ()
    dtype = DTYPES[width % 7 % 3]
    call = call_of(variant, 11, width, inner=inner, dtype=dtype, kind="masked", reduction="sum")
    batch = by_kernel(call)
    if batch is None:  # an infinite divergence
        call = call_of(variant, 11, width, inner=inner, dtype=dtype, reduction="sum")
        batch = by_kernel(call)
    for i in (0, 4, 10):
        assert_same_bits(by_kernel(rows_of(call, slice(i, i + 1))), batch, slice(i, i + 1))
    order = torch.randperm(11, generator=torch.Generator().manual_seed(width))
    assert_same_bits(by_kernel(rows_of(call, order)), batch, order)
    assert_same_bits(by_kernel(call, CutAt(1, 2, 7)), batch, slice(None))
    assert_same_bits(by_kernel(rows_of(call, slice(3, 9)), CutAt(2)), batch, slice(3, 9))
    values = by_kernel(dataclasses.replace(call, wrt=()))
    assert values is not None and batch is not None and torch.equal(values.rows, batch.rows)


@every_kernel_of_rows
def test_threads_do_not_change_the_bits(name: str) -> None:
    slices = Slices(3)
    for variant in variants_of(name)[:3]:
        call = call_of(variant, 700, 301, reduction="sum")
        assert_same_bits(by_kernel(call, slices), by_kernel(call), slice(None))
    slices.close()


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_recipes_are_those_of_the_plain_function(name: str, dtype: torch.dtype) -> None:
    for variant in variants_of(name):
        for rows, width, inner, kind, scale in SHAPES[:5] + SHAPES[-2:]:
            form = {"inner": inner, "kind": kind, "scale": scale, "dtype": dtype}
            call = call_of(variant, rows, width, **form, gradient_form="recipe")
            got = by_kernel(call)
            if got is not None:
                assert_as_good_as_plain(call, got)


@pytest.mark.parametrize("lead", [5.0, 17.0, 50.0, 80.0, -5.0, -50.0, -2e4])
@pytest.mark.parametrize("base", [0.0, 50.0, -1e4])
def test_a_sure_answer_keeps_every_digit(lead: float, base: float) -> None:
    """The label's logit is ahead of the others by `lead`; in float64 the others are 3 e^-lead."""
    logits = torch.tensor([[base, base + lead, base, base]])
    lead = float(logits[0, 1].double() - logits[0, 0].double())
    rest = 3 * math.exp(-lead) if lead > -700 else math.inf
    miss = rest / (1 + rest) if rest < math.inf else 1.0
    value = math.log1p(rest) if rest < math.inf else -lead + math.log(3)
    tensors = {"logits": logits, "labels": torch.tensor([1])}
    asked = {"reduction": "sum", "outputs": ["rows", "gradients"]}
    got = compute(parse_call("cross_entropy", Message(dict(tensors), asked)), CPU)
    assert got.sum == pytest.approx(value, rel=3e-7)
    want = [miss / 3, -miss, miss / 3, miss / 3]
    assert got.gradients["logits"][0].tolist() == pytest.approx(want, rel=4e-7)
    focal = compute(parse_call("focal", Message(dict(tensors), {**asked, "params": {}})), CPU)
    assert focal.sum == pytest.approx(miss**2 * value, rel=1e-6)
    slope = miss**2 + 2 * (1 - miss) * miss * value
    if miss**2 > 1e-30:
        assert focal.gradients["logits"][0, 1] == pytest.approx(-slope * miss, rel=1e-6)
    asked |= {"params": {"epsilon": -1.0}}
    poly = compute(parse_call("poly_cross_entropy", Message(dict(tensors), asked)), CPU)
    if miss**2 > 1e-30:  # its slope by -log p is 1 - p
        assert poly.gradients["logits"][0, 1] == pytest.approx(-(miss**2), rel=1e-6)


def test_the_exponential_is_exact_to_a_unit_in_the_last_place() -> None:
    x = torch.linspace(-87.3, -1e-6, 300_001)
    e = torch.empty_like(x).numpy()
    numba.njit(lambda z, out: exp_and_sum(z, np.float32(0), -1, out))(x.numpy(), e)
    want = x.double().exp()
    assert ((torch.from_numpy(e) - want).abs() / want).max() < 8.5e-8
    edges = torch.tensor([0.0, -0.0, -87.4, -104.0, -3e38, -math.inf, math.nan])
    found = torch.empty_like(edges).numpy()
    numba.njit(lambda z, out: exp_and_sum(z, np.float32(0), -1, out))(edges.numpy(), found)
    assert found[:6].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0] and math.isnan(found[6])
