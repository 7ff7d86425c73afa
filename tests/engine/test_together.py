"""Small calls that go together: each gets the bits that it gets alone."""

import pytest
import torch
from catalog_cases import Case

from case_requests import CASES, CPU, example, finite, message_of, rows_of
from lossd.engine.compute import compute
from lossd.engine.together import MOST_ELEMENTS, company_of, compute_together, padded_elements
from lossd.errors import LossdError
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message


def may_go_together(case: Case) -> bool:
    call = parse_call(case.spec.name, message_of(case, torch.float32))
    return company_of(call, CPU) is not None


TOGETHER = [case for case in CASES if finite(case) and may_go_together(case)]
together = pytest.mark.parametrize(
    "case", TOGETHER, ids=[f"{case.spec.name}-{i}" for i, case in enumerate(TOGETHER)]
)


def calls_of(case: Case, **fields: object) -> list[Call]:
    """The rows of a case in calls of many lengths: mixed, and repeated."""
    message = message_of(case, torch.float32, **fields)
    count = case.expected().shape[0]
    draw = torch.Generator().manual_seed(len(case.source))
    picks = [torch.randint(count, (rows,), generator=draw) for rows in (1, 33, 2, 32, 7, 64)]
    return [parse_call(case.spec.name, rows_of(case, message, each)) for each in picks]


def bits(outcome: object) -> object:
    assert isinstance(outcome, Result)
    tensors = {"rows": outcome.rows, **outcome.gradients, **outcome.condensed}
    found = {key: None if x is None else x.tolist() for key, x in tensors.items()}
    return repr((outcome.value, outcome.sum, outcome.denominator, outcome.count, found))


@together
def test_in_company_a_call_gets_the_bits_that_it_gets_alone(case: Case) -> None:
    for fields in ({}, {"reduction": "sum", "gradient_form": "row_norms"}):
        calls = calls_of(case, **fields)
        assert len({company_of(call, CPU) for call in calls}) == 1
        alone = [compute_together([call])[0] for call in calls]
        for order in (calls, calls[::-1]):
            found = dict(zip(map(id, order), compute_together(order), strict=True))
            for call, want in zip(calls, alone, strict=True):
                assert bits(found[id(call)]) == bits(want)


@together
def test_the_answer_is_that_of_the_plain_function(case: Case) -> None:
    call = calls_of(case)[1]
    (got,), want = compute_together([call]), compute(call, CPU)
    assert isinstance(got, Result) and got.denominator == want.denominator
    assert got.sum == pytest.approx(want.sum, rel=1e-5, abs=1e-5)
    assert [each.code for each in got.warnings] == [each.code for each in want.warnings]
    for key, x in want.gradients.items():
        torch.testing.assert_close(got.gradients[key], x, rtol=1e-4, atol=1e-6)


PAIR = {"prediction": torch.tensor([1.0, 2.0]), "target": torch.tensor([0.5, 2.5])}


def charbonnier(more: dict[str, torch.Tensor] | None = None, **fields: object) -> Call:
    return parse_call("charbonnier", Message({**PAIR, **(more or {})}, fields))


def test_what_is_wrong_with_one_is_its_own() -> None:
    good, bad = charbonnier(), charbonnier({"target": torch.tensor([1.0, torch.nan])})
    first, wrong, last = compute_together([good, bad, good])
    assert isinstance(wrong, LossdError) and bits(first) == bits(last)
    assert bits(first) == bits(compute_together([good])[0])
    assert isinstance(compute_together([bad])[0], LossdError)


def test_weights_of_rows_and_narrow_gradients_come_along() -> None:
    weights = {"row_weights": torch.tensor([0.0, 3.0])}
    calls = [charbonnier(weights, gradient_dtype="float16"), charbonnier(weights)]
    for call in calls:
        (got,), want = compute_together([call, call])[:1], compute(call, CPU)
        assert bits(got) == bits(want)
    nothing = charbonnier({"row_weights": torch.zeros(2)})
    (got,) = compute_together([nothing])
    assert isinstance(got, Result) and got.value is None and not got.gradients["prediction"].any()


def test_only_what_differs_in_rows_alone_has_company() -> None:
    plain = company_of(charbonnier(), CPU)
    assert plain is not None
    assert plain == company_of(
        parse_call("charbonnier", Message({key: torch.cat([x, x]) for key, x in PAIR.items()})), CPU
    )
    others = [
        charbonnier(params={"epsilon": 0.5}),
        charbonnier(reduction="sum"),
        charbonnier({"prediction": torch.ones(2, dtype=torch.float64)}),
    ]
    assert plain not in [company_of(each, CPU) for each in others]


@pytest.mark.parametrize("name", CATALOG)
def test_what_sees_other_rows_or_shares_tensors_goes_alone(name: str) -> None:
    call = example(name)
    shares = any(each.scope != "row" for each in call.spec.inputs.values())
    if call.spec.coupling != "independent" or shares or "seed" in call.spec.params.model_fields:
        assert company_of(call, CPU) is None


def test_what_is_large_goes_alone() -> None:
    rows = MOST_ELEMENTS + 1
    wide = Message({key: x.new_ones(rows) for key, x in PAIR.items()})
    assert company_of(parse_call("charbonnier", wide), CPU) is None
    assert padded_elements(charbonnier()) == 32
