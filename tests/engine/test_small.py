"""Small calls take a shorter way, which must not show in any bit."""

import pytest
import torch
from catalog_cases import Case

from case_requests import CASES, CPU, message_of
from lossd.engine.compute import compute, pick_kernel
from lossd.engine.small import MOST_ELEMENTS, SmallCalls
from lossd.errors import LossdError
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message

SMALL = [
    case
    for case in CASES
    if pick_kernel(parse_call(case.spec.name, message_of(case, torch.float32)), CPU)
]
OPTIONS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none", "outputs": ["value", "rows"]},
    {"outputs": ["value"]},
    {"gradient_form": "row_norms"},
    {"gradient_dtype": "float16"},
]
small = pytest.mark.parametrize(
    "case", SMALL, ids=[f"{case.spec.name}-{i}" for i, case in enumerate(SMALL)]
)


def calls(case: Case) -> list[Call]:
    """One call twice with each of the options, and with weights and a cotangent beside them."""
    made = [message_of(case, torch.float32, **options) for options in OPTIONS]
    expected = case.expected()
    rows = {"cotangent": torch.ones_like(expected.float())}
    if expected.ndim:  # a value of the whole call has no rows to weigh
        rows["row_weights"] = torch.arange(len(expected)).double()
    made += [Message({**made[0].tensors, key: x}, made[0].fields) for key, x in rows.items()]
    return [parse_call(case.spec.name, each) for each in made for _ in range(2)]


def outcome(result: Result | LossdError | None) -> object:
    if not isinstance(result, Result):
        return type(result), str(result)
    tensors = {"rows": result.rows, **result.gradients, **result.condensed}
    bits = {key: None if x is None else (x.dtype, x.tolist()) for key, x in tensors.items()}
    numbers = (result.value, result.sum, result.denominator, result.count)
    return repr((numbers, bits, result.warnings))


@small
def test_the_short_way_gives_the_same_bits(case: Case) -> None:
    short = SmallCalls(CPU)
    for call in calls(case):
        found = []
        for way in (lambda call: short.compute(call, 0.0), lambda call: compute(call, CPU)):
            try:
                found.append(outcome(way(call)))
            except LossdError as err:
                found.append(outcome(err))
        assert found[0] == found[1]


@small
def test_what_is_wrong_is_still_found(case: Case) -> None:
    short = SmallCalls(CPU)
    message = message_of(case, torch.float32)
    good = parse_call(case.spec.name, message)
    short.compute(good, 0.0)
    key = next(key for key, x in message.tensors.items() if x.is_floating_point())
    bad = Message({**message.tensors, key: torch.full_like(message.tensors[key], torch.nan)})
    bad = Message(bad.tensors, message.fields)
    call = parse_call(case.spec.name, bad)
    assert call.plan is good.plan
    with pytest.raises(LossdError):
        short.compute(call, 0.0)


@pytest.mark.parametrize(
    ("name", "inputs", "beside"),
    [
        ("logit_adjustment", {"labels": torch.tensor([0, 2])}, "class_counts"),
        ("binary_cross_entropy_with_logits", {"targets": torch.eye(2, 3)}, "pos_weight"),
    ],
)
def test_constants_are_made_anew_where_what_they_are_made_of_changes(
    name: str, inputs: dict[str, torch.Tensor], beside: str
) -> None:
    short = SmallCalls(CPU)
    logits = torch.tensor([[2.0, 0.5, -1.25], [0.125, 1.5, 3.0]])
    for weights in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 1.0, 1.0], [1.0, 2.0, 3.0]):
        tensors = {"logits": logits, **inputs, beside: torch.tensor(weights)}
        call = parse_call(name, Message(tensors, {}))
        assert outcome(short.compute(call, 0.0)) == outcome(compute(call, CPU))
        assert short.straight(call) is not None


def test_constants_are_not_the_memory_of_the_call_that_they_were_first_made_of() -> None:
    short, alpha = SmallCalls(CPU), torch.tensor([1.0, 2.0, 3.0])
    tensors = {"logits": torch.tensor([[2.0, 0.5, -1.25]]), "labels": torch.tensor([2])}
    for name, key in (("focal", "alpha"), ("multi_margin", "class_weights")):
        weights = alpha.clone()
        short.compute(parse_call(name, Message({**tensors, key: weights}, {})), 0.0)
        weights.copy_(torch.tensor([7.0, 0.1, 50.0]))
        call = parse_call(name, Message({**tensors, key: alpha}, {}))
        assert outcome(short.compute(call, 0.0)) == outcome(compute(call, CPU))


def test_what_is_large_or_has_no_kernel_is_left_to_the_lanes() -> None:
    short = SmallCalls(CPU)
    rows = MOST_ELEMENTS // 4 + 1
    large = {"logits": torch.zeros(rows, 4), "labels": torch.zeros(rows, dtype=torch.int64)}
    coupled = {"queries": torch.ones(2, 3), "keys": torch.ones(2, 3)}
    for name, tensors in (("cross_entropy", large), ("info_nce", coupled)):
        for _ in range(2):
            assert short.compute(parse_call(name, Message(tensors)), 0.0) is None


def test_many_kinds_of_calls_do_not_pile_up() -> None:
    short = SmallCalls(CPU)
    for rows in range(1, 600):
        pair = {"prediction": torch.ones(rows), "target": torch.zeros(rows)}
        result = short.compute(parse_call("mse", Message(pair)), 0.0)
        assert result is not None and result.value == 1.0
    assert len(short._plans) <= 256
