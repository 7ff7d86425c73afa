"""Denominators that are 0, values that are infinite, queues that are full."""

import asyncio
import threading

import pytest
import torch

from lossd.engine import Admission, Engine, compute, pick_device
from lossd.errors import DeadlineExceeded, Overloaded
from lossd.schema import Call, parse_call
from lossd.wire import Message

CPU = torch.device("cpu")


def focal_call(targets: list[float], **fields: object) -> Call:
    tensors = {"logits": torch.zeros(len(targets)), "targets": torch.tensor(targets)}
    params = {"denominator": "positives"}
    return parse_call("sigmoid_focal", Message(tensors, {"params": params, **fields}))


def test_a_denominator_of_0_divides_by_1_and_says_so() -> None:
    got = compute(focal_call([0.0, 0.0]), CPU)
    assert got.denominator == 0 and got.value == got.sum > 0
    assert [each.code for each in got.warnings] == ["zero_denominator"]
    assert got.gradients["logits"].abs().sum() > 0


def test_when_nothing_counts_the_value_is_null_and_gradients_are_0() -> None:
    tensors = {"logits": torch.randn(2, 3), "labels": torch.tensor([1, 1])}
    fields = {"params": {"ignore_index": 1}}
    got = compute(parse_call("cross_entropy", Message(tensors, fields)), CPU)
    assert (got.value, got.sum, got.denominator) == (None, 0.0, 0.0)
    assert not got.gradients["logits"].any()


def test_an_infinite_sum_is_answered_with_a_warning() -> None:
    tensors = {"logits": torch.tensor([[0.0, -torch.inf]]), "labels": torch.tensor([1])}
    got = compute(parse_call("cross_entropy", Message(tensors)), CPU)
    assert got.value == float("inf")
    assert [each.code for each in got.warnings] == ["nonfinite_value"]


def test_a_row_of_weight_0_cannot_spoil_the_sum() -> None:
    tensors = {
        "logits": torch.tensor([[0.0, -torch.inf], [0.0, 0.0]]),
        "labels": torch.tensor([1, 1]),
        "row_weights": torch.tensor([0.0, 2.0]),
    }
    got = compute(parse_call("cross_entropy", Message(tensors)), CPU)
    assert got.value == pytest.approx(0.6931471805599453, rel=1e-6)
    assert got.denominator == 2


def test_gradients_that_do_not_fit_half_precision_are_announced() -> None:
    tensors = {"prediction": torch.tensor([1e6]), "target": torch.tensor([0.0])}
    fields = {"gradient_dtype": "float16"}
    got = compute(parse_call("mse", Message(tensors, fields)), CPU)
    assert {each.code for each in got.warnings} == {"gradient_overflow"}


def test_a_full_queue_refuses_and_frees_its_places() -> None:
    admission = Admission(max_requests=1, max_bytes=10)
    with admission.enter(), pytest.raises(Overloaded), admission.enter():
        raise AssertionError("there was no place")
    with admission.enter():
        assert admission.requests == 1
    assert admission.requests == 0


def test_bytes_are_held_until_their_request_is_done() -> None:
    admission = Admission(max_requests=9, max_bytes=10)
    with admission.enter() as one, admission.enter() as other:
        one.hold(6)
        with pytest.raises(Overloaded):
            other.hold(6)
    with admission.enter() as another:
        another.hold(10)
    assert admission.held_bytes == 0


def test_a_call_that_cannot_start_in_time_is_not_computed() -> None:
    async def late() -> None:
        engine = Engine("cpu", lanes=1, threads=1)
        tensors = {"logits": torch.zeros(4000, 1000), "labels": torch.zeros(4000, dtype=torch.long)}
        large = parse_call("cross_entropy", Message(tensors))
        before = asyncio.create_task(engine.submit(large, timeout_s=30))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await engine.submit(large, timeout_s=1e-6)
        await before
        engine.close()

    asyncio.run(late())


def test_the_event_loop_turns_while_a_lane_computes() -> None:
    turned = threading.Event()

    async def turns() -> bool:
        engine = Engine("cpu", lanes=1, threads=1)
        running = asyncio.ensure_future(engine.run(lambda _: turned.wait(30), timeout_s=30))
        for _ in range(10):
            await asyncio.sleep(0)
        turned.set()
        was_set = await running
        engine.close()
        return was_set

    assert asyncio.run(turns())


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(RuntimeError):
        pick_device("cuda:63")
    assert pick_device("cpu") == CPU
