"""Kernels of losses of one value per element: every option, dtype, shape and bad value."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lossd.engine.compute import compute, compute_plainly, pick_kernel
from lossd.engine.fused import Slices, compute_by_kernel
from lossd.engine.kernels import KERNELS, OVERFLOW, SUSPECT, Job
from lossd.engine.kernels._arrays import as_array
from lossd.engine.kernels._elementwise import BLOCK
from lossd.engine.memory import Buffers
from lossd.errors import NotFinite, OutOfRange
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message

CPU = torch.device("cpu")
BUFFERS = Buffers(1 << 26)
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("mse", {}),
    ("l1", {}),
    ("huber", {}),
    ("huber", {"delta": 0.3}),
    ("smooth_l1", {}),
    ("smooth_l1", {"beta": 2.5}),
    ("smooth_l1", {"beta": 0.0}),
    ("log_cosh", {}),
    ("hinge", {}),
    ("squared_hinge", {"margin": 0.0}),
    ("binary_cross_entropy_with_logits", {}),
    ("sigmoid_focal", {}),
    ("sigmoid_focal", {"alpha": None, "gamma": 1.7, "denominator": "positives"}),
    ("sigmoid_focal", {"gamma": 0.0, "modulation_gradient": "detached"}),
    ("sigmoid_focal", {"gamma": 3.0, "modulation_gradient": "detached"}),
    ("asymmetric", {}),
    ("asymmetric", {"clip": 0.0, "gamma_positive": 0.0}),
    ("asymmetric", {"clip": 1e-30, "gamma_negative": 0.0, "modulation_gradient": "detached"}),
    ("asymmetric", {"clip": 0.5, "gamma_negative": 0.7, "denominator": "rows"}),
]
NAMES = sorted({name for name, _ in SETTINGS})
every_setting = pytest.mark.parametrize(
    ("name", "params"), SETTINGS, ids=[f"{name}-{params}" for name, params in SETTINGS]
)
every_loss = pytest.mark.parametrize("name", NAMES)
SHAPES = [(1,), (5,), (3, 1), (7, 10), (4, 3, 5), (300, 7), (2, BLOCK), (3, BLOCK + 1), (2, 5001)]
EXTREMES = [0.0, 1e-30, 1e-3, 0.5, 1.0, 20.0, 50.0, 86.0, 88.0, 104.0, 1e4, 1e19, 3e38]


def floats_of(name: str) -> tuple[str, str]:
    first, second, *_ = CATALOG[name].inputs
    return first, second


def inputs(
    name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Tensor]:
    first, second = floats_of(name)
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(shape, generator=generator)
    y = torch.rand(shape, generator=generator)
    if CATALOG[name].inputs[second].kind == "int":
        return {first: x.to(dtype), second: 2 * (y < 0.5).long() - 1}
    y = torch.where(torch.rand(shape, generator=generator) < 0.5, y.round(), y)
    return {first: x.to(dtype), second: y.to(dtype)}


def call_of(
    name: str, tensors: Mapping[str, Tensor], params: Mapping[str, Any], **fields: Any
) -> Call:
    asked = {"outputs": ["value", "rows", "gradients"], **fields}
    return parse_call(name, Message(dict(tensors), {"params": dict(params), **asked}))


def by_kernel(call: Call, slices: Slices | None = None) -> Result:
    kernel = pick_kernel(call, CPU)
    assert kernel is not None
    more = () if slices is None else (slices,)
    result = compute_by_kernel(kernel, call, BUFFERS, *more)
    assert result is not None
    return result


def double(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: x.double() if x.is_floating_point() else x for key, x in tensors.items()}


def assert_as_good(got: Tensor, plain: Tensor, true: Tensor, scale: float = 1.0) -> None:
    """The error is the plain function's, or a few units in the last place of the terms."""
    error = (got.double() - true).abs().masked_fill(got.double() == true, 0.0)
    allowed = (plain.double() - true).abs().masked_fill(plain.double() == true, 0.0)
    allowed = allowed.masked_fill(plain.isnan(), 0.0)
    epsilon = {torch.float16: 5e-4, torch.bfloat16: 4e-3}.get(got.dtype, 3e-7)
    tolerance = epsilon * (scale + true.abs()) + (6e-8 if got.dtype == torch.float16 else 2e-38)
    good = (error <= allowed + tolerance) | (got.double() == plain.double())
    assert good.all(), (got[~good], plain[~good], true[~good])


def assert_as_good_as_plain(name: str, tensors: Mapping[str, Tensor], params: Any, **fields: Any):
    call = call_of(name, tensors, params, **fields)
    got, plain = by_kernel(call), compute_plainly(call, CPU)
    without = {key: value for key, value in fields.items() if key != "gradient_dtype"}
    true = compute_plainly(call_of(name, double(tensors), params, **without), CPU)
    if plain.rows is not None:
        assert got.rows is not None and true.rows is not None
        assert got.rows.dtype == plain.rows.dtype and got.rows.shape == plain.rows.shape
        assert_as_good(got.rows, plain.rows, true.rows)
    if got.sum != plain.sum:
        assert got.sum == pytest.approx(true.sum, rel=1e-6, abs=1e-30)
    assert got.denominator == pytest.approx(true.denominator, rel=1e-12)
    assert got.count == plain.count
    assert (got.value is None) == (plain.value is None)
    assert got.gradients.keys() == plain.gradients.keys()
    for key, each in got.gradients.items():
        assert each.dtype == plain.gradients[key].dtype and each.shape == plain.gradients[key].shape
        largest = float(true.gradients[key].abs().max()) if each.numel() else 0.0
        scale = 1.0 if largest < math.inf else 0.0
        assert_as_good(each, plain.gradients[key], true.gradients[key], scale * min(largest, 1.0))


@every_setting
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradients_are_as_good_as_the_plain_ones(name, params, shape):
    assert_as_good_as_plain(name, inputs(name, shape), params)


@every_setting
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(9, 13), (2, BLOCK + 77)], ids=str)
@pytest.mark.parametrize("gradient_dtype", [None, "float32", "float16", "bfloat16"])
def test_half_precision_is_rounded_once(name, params, dtype, shape, gradient_dtype):
    tensors = inputs(name, shape, dtype)
    fields = {} if gradient_dtype is None else {"gradient_dtype": gradient_dtype}
    call = call_of(name, tensors, params, reduction="sum", **fields)
    got = by_kernel(call)
    wide = {key: x.float() if x.is_floating_point() else x for key, x in tensors.items()}
    exact = by_kernel(call_of(name, wide, params, reduction="sum"))
    assert got.sum == exact.sum
    for key, gradient in got.gradients.items():
        wanted = dtype if gradient_dtype is None else getattr(torch, gradient_dtype)
        assert torch.equal(gradient, exact.gradients[key].to(wanted))


@every_loss
def test_inputs_of_different_dtypes_go_together(name):
    first, second = floats_of(name)
    tensors = inputs(name, (6, 11))
    mixed = {first: tensors[first].half(), second: tensors[second]}
    got = by_kernel(call_of(name, mixed, {}))
    want = by_kernel(call_of(name, {**mixed, first: mixed[first].float()}, {}))
    assert got.sum == want.sum and got.gradients[first].dtype == torch.float16


@every_setting
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("with_cotangent", [False, True])
@pytest.mark.parametrize("shape", [(5,), (6, 3), (2, BLOCK + 5), (BLOCK, 3)], ids=str)
def test_every_reduction_weight_and_cotangent(
    name, params, reduction, weighted, with_cotangent, shape
):
    generator = torch.Generator().manual_seed(1)
    tensors = inputs(name, shape)
    if weighted:
        tensors["row_weights"] = torch.rand(shape[0], generator=generator)
        tensors["row_weights"][0] = 0.0
    if with_cotangent:
        tensors["cotangent"] = torch.randn(shape, generator=generator)
    assert_as_good_as_plain(name, tensors, params, reduction=reduction)


@every_setting
@pytest.mark.parametrize("shape", [(5,), (6, 3), (2, BLOCK + 5)], ids=str)
def test_what_is_not_asked_for_changes_no_bits(name, params, shape):
    tensors = inputs(name, shape)
    whole = by_kernel(call_of(name, tensors, params))
    value = by_kernel(call_of(name, tensors, params, outputs=["value"]))
    assert value.sum == whole.sum and value.rows is None and not value.gradients
    for key in whole.gradients:
        one = by_kernel(call_of(name, tensors, params, outputs=["gradients"], wrt=[key]))
        assert one.sum == whole.sum and list(one.gradients) == [key]
        assert torch.equal(one.gradients[key], whole.gradients[key])


def extremes() -> Tensor:
    x = torch.tensor(EXTREMES)
    return torch.cat([x, -x])


@every_setting
def test_extremes_are_as_good_as_the_plain_ones(name, params):
    first, second = floats_of(name)
    x = extremes()
    if CATALOG[name].inputs[second].kind == "int":
        others = torch.tensor([-1, 1])
    elif CATALOG[name].inputs[second].arg.high == 1:
        others = torch.tensor([0.0, 1e-30, 0.25, 1.0])
    else:
        others = extremes()
    grid = {first: x.repeat_interleave(len(others)), second: others.repeat(len(x))}
    assert_as_good_as_plain(name, grid, params, reduction="sum")


@pytest.mark.parametrize("size", [50.0, 80.0, 1e4])
@pytest.mark.parametrize("name", ["binary_cross_entropy_with_logits", "sigmoid_focal"])
def test_a_sure_wrong_answer_keeps_its_gradient_and_a_right_one_dies_last(name, size):
    tensors = {"logits": torch.tensor([size, -size]), "targets": torch.tensor([0.0, 1.0])}
    params = {"alpha": None} if name == "sigmoid_focal" else {}
    wrong = by_kernel(call_of(name, tensors, params, reduction="sum")).gradients["logits"]
    assert wrong.tolist() == [1.0, -1.0]
    if name == "binary_cross_entropy_with_logits" and size < 87:
        tensors["targets"] = 1 - tensors["targets"]
        right = by_kernel(call_of(name, tensors, params, reduction="sum")).gradients["logits"]
        assert right.tolist() == pytest.approx([-math.exp(-size), math.exp(-size)], rel=3e-7)


@every_setting
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_subgradient_at_a_kink_is_0(name, params, dtype):
    first, second = floats_of(name)
    if CATALOG[name].inputs[second].arg.high == 1:
        return  # these have none
    labels = torch.tensor([1, -1] * 9)
    margin = CATALOG[name].params(**params).model_dump().get("margin", 1.0)
    if CATALOG[name].inputs[second].kind == "int":
        tensors = {first: (labels * margin).to(dtype), second: labels}
    else:
        tensors = {first: labels.to(dtype), second: labels.to(dtype)}
    got = by_kernel(call_of(name, tensors, params, reduction="sum"))
    assert got.sum == 0.0
    assert all(not gradient.any() for gradient in got.gradients.values())


def test_the_subgradient_where_a_negative_meets_the_clip_is_0():
    tensors = {"logits": torch.tensor([0.0, -1e-3]), "targets": torch.zeros(2)}
    for gamma in (0.0, 0.5, 1.0, 4.0):
        got = by_kernel(call_of("asymmetric", tensors, {"clip": 0.5, "gamma_negative": gamma}))
        assert got.sum == 0.0 and not got.gradients["logits"].any()


@pytest.mark.parametrize("shape", [(1, 1), (40, 6), (3, 4, 5), (2, BLOCK), (3, BLOCK + 9)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_pos_weight_counts_each_element_of_a_row(shape, dtype):
    name = "binary_cross_entropy_with_logits"
    tensors = inputs(name, shape)
    tensors["pos_weight"] = (3 * torch.rand(shape[1:])).to(dtype)
    assert_as_good_as_plain(name, tensors, {})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e-30])
def test_a_bad_pos_weight_is_refused(bad):
    tensors = inputs("binary_cross_entropy_with_logits", (3, 4))
    tensors["pos_weight"] = torch.tensor([1.0, 0.0, bad, 1.0])
    with pytest.raises((NotFinite, OutOfRange)) as refusal:
        compute(call_of("binary_cross_entropy_with_logits", tensors, {}), CPU)
    assert refusal.value.at == "inputs.pos_weight"


def bad_values(name: str, key: str, dtype: torch.dtype) -> list[float]:
    want = CATALOG[name].inputs[key]
    if want.kind == "int":
        return [0, 2, -2, 257, -(1 << 63), (1 << 63) - 1, (1 << 32) + 1]
    tiny = 1e-7 if dtype == torch.float16 else 1e-30
    above = 1 + torch.finfo(dtype).eps
    return [math.nan, math.inf, -math.inf, *([] if want.arg.high is None else [-tiny, above])]


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1,), (40,), (5, 7), (1, BLOCK + 40)], ids=str)
def test_a_bad_value_is_noticed_wherever_it_is(name, dtype, shape):
    kernel = KERNELS[name]
    for key in floats_of(name):
        for bad in bad_values(name, key, dtype):
            size = math.prod(shape)
            for place in {0, size // 2, size - 1}:
                tensors = inputs(name, shape, dtype)
                tensors[key].view(-1)[place] = bad
                call = call_of(name, tensors, {})
                assert compute_by_kernel(kernel, call, BUFFERS) is None, (key, bad, place)
                with pytest.raises((NotFinite, OutOfRange)) as refusal:
                    compute(call, CPU)
                assert refusal.value.at == f"inputs.{key}"


@every_loss
def test_a_bad_value_is_noticed_at_every_place_of_a_block(name):
    first, second = floats_of(name)
    tensors = inputs(name, (BLOCK // 8, 9))
    for key in (first, second):
        flat = tensors[key].view(-1)
        for place in range(0, flat.numel(), 7):
            before = flat[place].clone()
            flat[place] = 3 if CATALOG[name].inputs[key].kind == "int" else math.nan
            call = call_of(name, tensors, {})
            assert compute_by_kernel(KERNELS[name], call, BUFFERS) is None
            flat[place] = before


@every_loss
def test_the_ends_of_a_range_are_good(name):
    first, second = floats_of(name)
    if CATALOG[name].inputs[second].arg.high != 1:
        return
    y = torch.tensor([0.0, -0.0, 1.0, 1e-45])
    by_kernel(call_of(name, {first: torch.zeros(4), second: y}, {}))


@every_setting
def test_bits_do_not_depend_on_the_batch_or_the_place_in_it(name, params):
    for per_row in [*range(1, 35), 63, 64, 65, 100, 127, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 4099]:
        rows = 7 if per_row > 64 else 45
        tensors = inputs(name, (rows, per_row))
        whole = by_kernel(call_of(name, tensors, params, reduction="sum"))
        assert whole.rows is not None
        for i in sorted({0, 1, rows // 2, rows - 1}):
            one = {key: x[i : i + 1] for key, x in tensors.items()}
            alone = by_kernel(call_of(name, one, params, reduction="sum"))
            assert alone.rows is not None
            assert torch.equal(alone.rows[0], whole.rows[i])
            for key, gradient in alone.gradients.items():
                assert torch.equal(gradient[0], whole.gradients[key][i])


@every_setting
def test_bits_do_not_depend_on_slices(name, params):
    slices = Slices(3)
    for shape in [(200_000,), (997, 211), (5, 40_001)]:
        call = call_of(name, inputs(name, shape), params)
        one, cut = by_kernel(call), by_kernel(call, slices)
        assert one.sum == cut.sum
        assert one.rows is not None and cut.rows is not None
        assert torch.equal(one.rows, cut.rows)
        for key, gradient in one.gradients.items():
            assert torch.equal(gradient, cut.gradients[key])
    slices.close()


@every_loss
@pytest.mark.parametrize("gradient_dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(1,), (19,), (33, 3), (3, BLOCK + 3)], ids=str)
def test_no_memory_but_the_rows_own_is_written_whatever_the_inputs_hold(
    name, gradient_dtype, shape
):
    guard, size, rows = 64, math.prod(shape), shape[0]
    random = np.random.default_rng(0)
    dtype = getattr(torch, gradient_dtype)

    def guarded(kind: torch.dtype) -> Tensor:
        return torch.full((size + 2 * guard,), 7.0, dtype=kind)

    tensors = inputs(name, shape)
    call = call_of(name, tensors, {})
    gradients, values, sums = {}, guarded(torch.float32), guarded(torch.float64)
    for key in call.wrt:
        gradients[key] = guarded(dtype)
    job = Job(
        outer=np.ones((1, 1), np.float32),
        sums=sums[guard : guard + rows].numpy(),
        values=values[guard : guard + size].numpy().reshape(rows, -1),
        gradients={
            key: as_array(x[guard : guard + size].view(shape)) for key, x in gradients.items()
        },
    )
    run = KERNELS[name].bind(call, job)
    for _ in range(20):
        for x in call.inputs.values():
            bits = x.numpy().view(np.uint8)
            bits[...] = random.integers(0, 256, bits.shape, dtype=np.uint8)
        found = run(0, rows)
        assert 0 <= found <= SUSPECT | OVERFLOW
        for x in (values, *gradients.values()):
            assert (x[:guard] == 7).all() and (x[guard + size :] == 7).all()
        assert (sums[:guard] == 7).all() and (sums[guard + rows :] == 7).all()


@pytest.mark.parametrize("name", ["mse", "squared_hinge"])
def test_a_gradient_too_large_for_half_precision_is_warned_of(name):
    first, _ = floats_of(name)
    tensors = inputs(name, (4, 5), torch.float16)
    tensors[first][2, 3] = -60000.0 if name == "mse" else -60000.0 * tensors["labels"][2, 3]
    got = by_kernel(call_of(name, tensors, {}, reduction="sum"))
    assert "gradient_overflow" in [each.code for each in got.warnings]
    assert got.gradients[first].isinf().sum() == 1


def test_float64_and_propagated_values_are_left_to_the_plain_function():
    for name in NAMES:
        wide = call_of(name, double(inputs(name, (3, 4))), {})
        lax = call_of(name, inputs(name, (3, 4)), {}, nonfinite="propagate")
        assert pick_kernel(wide, CPU) is None and pick_kernel(lax, CPU) is None
