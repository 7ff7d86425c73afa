"""What calls of the same tensors share is computed once, and changes no bit of any answer."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from catalog_cases import Case
from torch.utils._python_dispatch import TorchDispatchMode

from case_requests import CASES, CPU, call_of, message_of
from lossd.engine import compute
from lossd.errors import OutOfRange
from lossd.losses import CATALOG, Shared
from lossd.losses._ops import log_softmax
from lossd.schema import Call, Entry, check_values, parse_batch, parse_call, to_message
from lossd.wire import Message

LOSSES = list(CATALOG)
OF_LOGITS = {"logits": "z", "labels": "y"}


class Softmaxes(TorchDispatchMode):
    """Counts the softmaxes that torch computes."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in ("_log_softmax", "_softmax")
        return func(*args, **(kwargs or {}))


def calls_of(message: Message) -> Iterator[Call]:
    for entry in parse_batch(message, most_calls=1000):
        assert isinstance(entry, Entry) and isinstance(entry.outcome, Call), entry
        yield entry.outcome


def batch(*calls: dict[str, Any], ignored: bool = False) -> list[Call]:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(8, 5, generator=generator), torch.arange(8) % 5
    y[0] = -1 if ignored else 0
    return list(calls_of(Message({"z": z.double(), "y": y}, {"calls": list(calls)})))


def softmaxes_of(calls: list[Call]) -> int:
    with Softmaxes() as counter:
        for call in calls:
            compute(call, CPU)
    return counter.count


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_the_bits_that_it_has_alone(name: str) -> None:
    """Twice in one batch, in float64 and float32, where plain functions and kernels compute."""
    for case in [case for case in CASES if case.spec.name == name][:2]:
        for dtype in (torch.float64, torch.float32):
            _assert_same_bits(case, dtype)


def _assert_same_bits(case: Case, dtype: torch.dtype) -> None:
    message = message_of(case, dtype, nonfinite="propagate")
    inputs: dict[str, Any] = {}
    for key in message.tensors:
        head, _, member = key.partition("/")
        if member:
            inputs.setdefault(head, {})[member] = key
        else:
            inputs[head] = key
    said = {"loss": case.spec.name, "inputs": inputs, **message.fields}
    want = to_message(*_computed(parse_call(case.spec.name, message)))
    for call in calls_of(Message(message.tensors, {"calls": [said, said]})):
        got = to_message(*_computed(call))
        assert got.fields == want.fields
        for key, x in want.all_tensors.items():
            assert torch.equal(got.all_tensors[key].nan_to_num(), x.nan_to_num()), key


def _computed(call: Call) -> tuple[Call, Any]:
    return call, compute(call, CPU)


def test_the_softmax_of_the_same_logits_is_computed_once() -> None:
    losses = ("cross_entropy", "focal", "generalized_cross_entropy", "cross_entropy")
    calls = batch(*({"loss": loss, "inputs": OF_LOGITS} for loss in losses))
    assert softmaxes_of(calls) == 1
    sweep = [{"gamma": 0.1 * i} for i in range(20)]
    assert softmaxes_of(batch({"loss": "focal", "inputs": OF_LOGITS, "sweep": sweep})) == 1


def test_items_that_do_not_count_have_a_softmax_of_their_own() -> None:
    focal = {"loss": "focal", "inputs": OF_LOGITS, "params": {"ignore_index": -1}}
    calls = batch(focal, focal, ignored=True)
    alone = call_of(next(case for case in CASES if case.spec.name == "focal"))
    assert alone.shared is None and calls[0].shared is calls[1].shared
    assert softmaxes_of(calls) == 1


def test_logits_that_are_alike_are_read_once() -> None:
    message = Message(
        {"z": torch.ones(4, 3, dtype=torch.float64), "y": torch.zeros(4, dtype=torch.int64)},
        {"calls": [{"loss": "focal", "inputs": OF_LOGITS}, {"loss": "brier", "inputs": OF_LOGITS}]},
        untyped=frozenset({"z", "y"}),
    )
    first, second = calls_of(message)
    assert first.inputs["logits"].dtype == torch.float32
    assert first.inputs["logits"] is second.inputs["logits"]


def test_what_did_not_pass_a_check_is_checked_again() -> None:
    tensors = {"z": torch.zeros(3, 2), "y": torch.tensor([0, 1, 7])}
    said = {"loss": "focal", "inputs": OF_LOGITS, "params": {"ignore_index": 7}}
    bad = {"loss": "cross_entropy", "inputs": OF_LOGITS}
    calls = list(calls_of(Message(tensors, {"calls": [bad, said, bad, said]})))
    for call, is_bad in zip(calls, (True, False, True, False), strict=True):
        if is_bad:
            with pytest.raises(OutOfRange):
                check_values(call)
        else:
            check_values(call)


def test_in_one_graph_a_log_softmax_that_a_gradient_needs_is_never_one_without() -> None:
    shared, x = Shared(in_graph=True), torch.randn(4, 3, requires_grad=True)
    shared.lend(x)
    with torch.no_grad():
        constant = log_softmax(x)
    node = log_softmax(x)
    assert not constant.requires_grad and node.requires_grad
    with torch.no_grad():
        assert log_softmax(x) is constant
    assert log_softmax(x) is node
    assert log_softmax(x, torch.tensor([True, False, False, False])) is not node
