"""The way of a call over a lane: blocks, overlap, out of memory, and what is left behind."""

from typing import Any

import pytest
import torch

from case_requests import CPU
from host_lane import HostLane
from lossd.engine import compute
from lossd.engine.cuda import calls_to_warm_up
from lossd.engine.cuda.kernels import kernel_for, kernel_names
from lossd.engine.cuda.path import LEAST_BLOCK_BYTES, rows_per_block
from lossd.engine.plain import compute_plainly
from lossd.errors import OutOfMemory, OutOfRange
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

# The interpreter is numpy, which tells of infinities that the kernels mean.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")

ROWS, CLASSES, SPATIAL = 13, 6, 3


def request(*, spatial: bool = False, **fields: Any) -> Call:
    generator = torch.Generator().manual_seed(0)
    rest = (SPATIAL,) if spatial else ()
    tensors = {
        "logits": torch.randn(ROWS, CLASSES, *rest, generator=generator),
        "labels": torch.randint(CLASSES, (ROWS, *rest), generator=generator),
        "class_weights": torch.rand(CLASSES, generator=generator),
    }
    if fields.pop("weighted", False):
        tensors["row_weights"] = torch.arange(ROWS).double() % 3
    if fields.pop("pulled", False):
        tensors["cotangent"] = torch.randn(ROWS, *rest, generator=generator)
    outputs = ["value", "rows", "gradients"]
    return parse_call("cross_entropy", Message(tensors, {"outputs": outputs, **fields}))


def tensors_of(result: Result) -> dict[str, torch.Tensor]:
    found = {**result.gradients, **result.condensed}
    return found if result.rows is None else {**found, "rows": result.rows}


def assert_same_bits(got: Result, want: Result) -> None:
    assert (got.value, got.sum, got.denominator) == (want.value, want.sum, want.denominator)
    for key, x in tensors_of(want).items():
        assert torch.equal(tensors_of(got)[key], x), key


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reduction": "sum"},
        {"weighted": True},
        {"pulled": True},
        {"pulled": True, "weighted": True},
        {"gradient_form": "row_norms"},
        {"gradient_form": "top_k", "gradient_top_k": 2},
        {"gradient_form": "recipe"},
        {"gradient_dtype": "bfloat16"},
        {"outputs": ["value"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("block_rows", [4, ROWS])
def test_the_answer_is_the_plain_one_however_it_is_cut(
    fields: dict[str, Any], spatial: bool, block_rows: int
) -> None:
    call = request(spatial=spatial, **fields)
    want = compute_plainly(call, CPU)
    per_row = sum(call.inputs[key][:1].nbytes for key in ("logits", "labels"))
    got = compute(call, CPU, lane=HostLane(), block_bytes=block_rows * 2 * per_row)
    assert got.value == pytest.approx(want.value, rel=1e-6)
    assert got.sum == pytest.approx(want.sum, rel=1e-6)
    assert got.denominator == pytest.approx(want.denominator, rel=1e-6)
    assert tensors_of(got).keys() == tensors_of(want).keys()
    for key, x in tensors_of(want).items():
        near = {"rtol": 1e-5, "atol": 1e-6} if x.dtype != torch.bfloat16 else {}
        torch.testing.assert_close(tensors_of(got)[key], x, **near)
    assert_same_bits(compute(call, CPU, lane=HostLane()), got)


def test_classes_on_another_axis_come_back_on_it() -> None:
    call = request(spatial=True)
    tensors = {**call.inputs, "logits": call.inputs["logits"].movedim(1, -1).contiguous()}
    moved = parse_call("cross_entropy", Message(tensors, {"class_axis": -1}))
    got = compute(moved, CPU, lane=HostLane()).gradients["logits"]
    want = compute(call, CPU, lane=HostLane()).gradients["logits"]
    assert torch.equal(got, want.movedim(1, -1))


@pytest.mark.parametrize("name", CATALOG)
def test_every_loss_goes_over_a_lane(name: str) -> None:
    call = example_call(CATALOG[name])
    got, want = compute(call, CPU, lane=HostLane()), compute(call, CPU)
    assert got.value == pytest.approx(want.value, rel=1e-6)
    for key, x in tensors_of(want).items():
        torch.testing.assert_close(tensors_of(got)[key], x, rtol=1e-5, atol=1e-6)


def test_out_of_memory_halves_the_block_and_changes_no_bit() -> None:
    call, roomy, tight = request(), HostLane(), HostLane(most_bytes=400)
    assert_same_bits(compute(call, CPU, lane=tight), compute(call, CPU, lane=roomy))
    assert tight.releases > 0 and not roomy.releases
    assert tight.allocated[-1][0] < ROWS


def test_only_the_guilty_call_fails() -> None:
    lane = HostLane(most_bytes=100)
    with pytest.raises(OutOfMemory):
        compute(request(), CPU, lane=lane)
    lane.most_bytes = 1 << 20
    assert_same_bits(compute(request(), CPU, lane=lane), compute(request(), CPU, lane=HostLane()))


def test_a_bad_label_never_reaches_the_device() -> None:
    call, lane = request(), HostLane()
    call.inputs["labels"][3] = CLASSES
    with pytest.raises(OutOfRange):
        compute(call, CPU, lane=lane)
    assert lane.allocated == []


def test_answers_outlive_the_calls_that_come_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossd.engine.memory.LEAST_BYTES", 64)  # all host memory is used again
    lane, kept = HostLane(), []
    for seed in range(4):
        x, y = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(seed))
        call = parse_call("mse", Message({"prediction": x, "target": y}, {"reduction": "sum"}))
        kept.append((compute(call, CPU, lane=lane), 2 * (x - y)))
    for result, gradient in kept:
        torch.testing.assert_close(result.gradients["prediction"], gradient)
        torch.testing.assert_close(result.gradients["target"], -gradient)


def test_no_host_memory_to_keep_is_no_error() -> None:
    lane = HostLane(staging_bytes=0)
    assert_same_bits(compute(request(), CPU, lane=lane), compute(request(), CPU, lane=HostLane()))


def test_an_error_that_is_not_about_memory_waits_and_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, lane = request(), HostLane()
    kernel = kernel_for(call)

    def fail(*_: Any) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(kernel, "launch", fail)
    with pytest.raises(RuntimeError, match="gone"):
        compute(call, CPU, lane=lane)
    assert not lane.releases


@pytest.mark.parametrize("queues", [1, 3])
def test_blocks_fit_the_budget_and_are_worth_a_copy(queues: int) -> None:
    per_row = 1024
    for rows in (1, 10, 10_000, 1_000_000):
        for block_bytes in (1, 10 * per_row, 1 << 24, 1 << 30):
            found = rows_per_block(rows, per_row, block_bytes, queues)
            assert found == 1 or found * per_row <= block_bytes
            small = found * per_row < min(LEAST_BLOCK_BYTES, block_bytes - per_row)
            assert not small or found >= rows / queues


def test_what_is_warmed_up_are_the_kernels_in_every_dtype() -> None:
    calls = list(calls_to_warm_up(torch.device("cuda")))
    of_kernels = [call for call in calls if kernel_for(call) is not None]
    found = {(call.spec.name, x.dtype) for call in of_kernels for x in call.inputs.values()}
    for name in kernel_names():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            assert (name, dtype) in found
    assert {call.spec.name for call in calls_to_warm_up(CPU)} == set(CATALOG)
