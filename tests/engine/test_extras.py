"""New states and proximal operators, of every loss that has them."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from catalog_cases import Case, tensor

from case_requests import CASES, CPU, message_of
from lossd.engine import compute
from lossd.errors import BadOption, WrongShape
from lossd.losses import CATALOG
from lossd.schema import Result, parse_call, to_message
from lossd.wire import CODECS, Message

STATEFUL = [name for name, spec in CATALOG.items() if spec.state]
PROXIMAL = [name for name, spec in CATALOG.items() if spec.proximal]
OF_STATE = [case for case in CASES if case.state is not None]
OF_PROXIMAL = [case for case in CASES if case.proximal is not None]
TOLERANCE = {torch.float64: (1e-9, 1e-12), torch.float32: (2e-5, 1e-6)}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
every_state = pytest.mark.parametrize(
    "case", OF_STATE, ids=[f"{case.spec.name}-{i}" for i, case in enumerate(OF_STATE)]
)
every_proximal = pytest.mark.parametrize(
    "case", OF_PROXIMAL, ids=[f"{case.spec.name}-{i}" for i, case in enumerate(OF_PROXIMAL)]
)


def run(case: Case, message: Message, **how: Any) -> Result:
    return compute(parse_call(case.spec.name, message), CPU, **how)


def states_of(result: Result) -> dict[str, torch.Tensor]:
    return {name.removeprefix("state."): x for name, x in result.extras.items()}


def test_every_loss_that_answers_more_has_cases_of_it() -> None:
    assert {case.spec.name for case in OF_STATE} == set(STATEFUL)
    assert {case.spec.name for case in OF_PROXIMAL} == set(PROXIMAL)


@every_state
@every_dtype
def test_a_new_state_is_that_of_the_reference(case: Case, dtype: torch.dtype) -> None:
    assert case.state is not None
    got = states_of(run(case, message_of(case, dtype, outputs=["state"])))
    rtol, atol = TOLERANCE[dtype]
    assert got.keys() == case.state.keys() == set(case.spec.state_inputs)
    for name, want in case.state.items():
        assert not got[name].requires_grad
        expected = tensor(want, torch.float64)
        torch.testing.assert_close(got[name].double(), expected, rtol=rtol, atol=atol)


@every_state
def test_a_state_goes_into_the_next_call_as_it_came(case: Case) -> None:
    message = message_of(case, torch.float32, outputs=["value", "gradients", "state"])
    for _ in range(3):
        new = states_of(run(case, message))
        for name, x in new.items():
            old = message.tensors.get(name)
            assert old is None or (old.shape, old.dtype) == (x.shape, x.dtype)
        message = Message({**message.tensors, **new}, message.fields)


@every_state
def test_a_state_is_of_all_rows_whatever_blocks_they_are_computed_in(case: Case) -> None:
    message = message_of(case, outputs=["value", "state"])
    whole, cut = run(case, message), run(case, message, block_bytes=1)
    assert all(torch.equal(whole.extras[name], cut.extras[name]) for name in whole.extras)


@every_state
def test_asking_for_a_state_changes_nothing_else(case: Case) -> None:
    outputs = ["value", "rows", "gradients"]
    plain = run(case, message_of(case, outputs=outputs))
    more = run(case, message_of(case, outputs=[*outputs, "state"]))
    assert not plain.extras and plain.sum == more.sum
    assert plain.rows is not None and more.rows is not None and torch.equal(plain.rows, more.rows)
    assert all(torch.equal(plain.gradients[key], x) for key, x in more.gradients.items())


@every_proximal
@every_dtype
def test_a_proximal_operator_is_that_of_the_reference(case: Case, dtype: torch.dtype) -> None:
    assert case.proximal is not None
    fields = {"outputs": ["proximal"], "proximal_step": case.proximal_step}
    got = run(case, message_of(case, dtype, **fields)).extras
    rtol, atol = TOLERANCE[dtype]
    assert {name.split("/")[0] for name in got} == {f"proximal.{key}" for key in case.proximal}
    for key, want in case.proximal.items():
        for member, each in (want if isinstance(want, dict) else {"": want}).items():
            found = got[f"proximal.{key}/{member}" if member else f"proximal.{key}"]
            assert found.dtype == dtype
            torch.testing.assert_close(found, tensor(each, dtype), rtol=rtol, atol=atol)


@every_proximal
@pytest.mark.parametrize("step", [1e-3, 1.0, 50.0])
def test_nothing_near_a_proximal_point_costs_less(case: Case, step: float) -> None:
    """The penalty by the loss itself, plus the squared way over twice the step."""
    message = message_of(case, outputs=["proximal"], proximal_step=step)
    found = run(case, message).extras
    point = {name.removeprefix("proximal."): x for name, x in found.items()}
    generator = torch.Generator().manual_seed(0)

    def cost(moved: dict[str, torch.Tensor]) -> float:
        way = sum(float((x - message.tensors[key]).square().sum()) for key, x in moved.items())
        there = Message({**message.tensors, **moved}, {**message.fields, "outputs": ["value"]})
        penalty = run(case, there).sum
        return penalty + way / (2 * step)

    least = cost(point)
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(5):
            moved = {
                key: x + size * torch.randn(x.shape, generator=generator, dtype=x.dtype)
                for key, x in point.items()
            }
            assert cost(moved) >= least - 1e-12 * abs(least)


@pytest.mark.parametrize("name", PROXIMAL)
@pytest.mark.parametrize("step", [1e300, 1e-300])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_a_step_beyond_the_dtype_still_gives_numbers(
    name: str, step: float, dtype: torch.dtype
) -> None:
    case = next(case for case in OF_PROXIMAL if case.spec.name == name)
    message = message_of(case, dtype, outputs=["proximal"], proximal_step=step)
    for key, x in run(case, message).extras.items():
        v = message.tensors[key.removeprefix("proximal.")]
        assert x.dtype == dtype and x.isfinite().all()
        # A penalty draws weights to 0, or to where they started.
        start = key.removeprefix("proximal.").replace("weights", "start", 1)
        end = message.tensors.get(start, torch.zeros_like(v))
        assert torch.equal(x, v if step < 1 else end)


@pytest.mark.parametrize("extra", ["state", "proximal"])
@pytest.mark.parametrize("name", CATALOG)
def test_what_a_loss_does_not_have_is_refused_by_its_place(name: str, extra: str) -> None:
    if extra in CATALOG[name].extra_outputs:
        return
    case = next(case for case in CASES if case.spec.name == name)
    with pytest.raises(BadOption, match=f"{name} has no {extra}") as caught:
        parse_call(name, message_of(case, outputs=["value", extra]))
    assert caught.value.at == "outputs[1]" and caught.value.got == extra
    assert all(each in (caught.value.expected or "") for each in
               (STATEFUL if extra == "state" else PROXIMAL))  # fmt: skip


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan, "1"])
def test_a_step_that_is_none_is_refused(step: Any) -> None:
    case = OF_PROXIMAL[0]
    with pytest.raises(BadOption) as caught:
        parse_call(case.spec.name, message_of(case, outputs=["proximal"], proximal_step=step))
    assert caught.value.at == "proximal_step"


def test_a_dimension_named_as_a_parameter_has_its_size() -> None:
    case = next(case for case in OF_STATE if case.spec.name == "gradient_harmonized")
    message = message_of(case)
    bins = case.params.model_dump()["bins"]
    given = {**message.tensors, "counts": torch.ones(bins + 1)}
    with pytest.raises(WrongShape, match="bins") as caught:
        parse_call(case.spec.name, Message(given, message.fields))
    assert caught.value.at == "inputs.counts"
    assert caught.value.expected == f"bins = {bins}"


@pytest.mark.parametrize("case", [*OF_STATE, *OF_PROXIMAL], ids=lambda case: case.spec.name)
@pytest.mark.parametrize("media_type", CODECS)
def test_every_format_carries_them(case: Case, media_type: str) -> None:
    extra = "state" if case.state is not None else "proximal"
    call = parse_call(case.spec.name, message_of(case, torch.float32, outputs=[extra]))
    result = compute(call, CPU)
    text = CODECS[media_type].encode(to_message(call, result))
    if media_type == "application/json":
        nested = json.loads(text)[extra]
        for name, x in result.extras.items():
            place = nested
            for part in name.removeprefix(f"{extra}.").split("/", 1):
                place = place[part]
            np.testing.assert_array_equal(np.float32(place), x.numpy())
        return
    got = CODECS[media_type].decode(text, 10**6)
    for name, x in result.extras.items():
        if x.ndim:
            assert torch.equal(got.tensors[name], x)
