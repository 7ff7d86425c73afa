"""Laws of losses whose rows depend on each other: the catalog's coupled ones are the parameter."""

import asyncio

import pytest
import torch
from catalog_cases import Case, of_cases
from torch import Tensor

from case_requests import CASES, finite, message_of, rows_of, run
from lossd.engine import Engine
from lossd.errors import TooLarge
from lossd.losses import CATALOG
from lossd.schema import parse_call
from lossd.wire import Message

COUPLED = [
    case
    for case in CASES
    if case.spec.coupling == "coupled" and finite(case) and len(case.expected()) > 1
]
coupled = of_cases(COUPLED)
names = sorted({case.spec.name for case in COUPLED})
COSINES = [name for name in names if "normalize" in CATALOG[name].params.model_fields]
PAIRED = [name for name in names if CATALOG[name].matrices]


def row_inputs(case: Case) -> list[str]:
    return [key for key in case.gradients if case.spec.inputs[key].scope == "row"]


def with_tensors(message: Message, **more: Tensor) -> Message:
    return Message({**message.tensors, **more}, message.fields)


def test_every_coupled_loss_is_here() -> None:
    assert names == sorted(n for n, spec in CATALOG.items() if spec.coupling == "coupled")


@pytest.mark.parametrize("name", names)
def test_a_row_does_see_its_neighbours(name: str) -> None:
    """Else the loss is independent, and its calls could be cut and streamed."""
    case = next(case for case in COUPLED if case.spec.name == name)
    message = message_of(case, reduction="sum")
    whole, alone = run(case, message), run(case, rows_of(case, message, slice(1)))
    assert ((whole.rows[0] - alone.rows[0]).abs() > 1e-12 * whole.rows[0].abs()).any()


@coupled
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(case: Case, seed: int) -> None:
    message = message_of(case)
    order = torch.randperm(len(case.expected()), generator=torch.Generator().manual_seed(seed))
    got, want = run(case, rows_of(case, message, order)), run(case, message)
    torch.testing.assert_close(got.rows, want.rows[order], rtol=1e-12, atol=1e-12)
    for key in case.gradients:
        there = want.gradients[key][order] if key in row_inputs(case) else want.gradients[key]
        torch.testing.assert_close(got.gradients[key], there, rtol=1e-9, atol=1e-12)


@coupled
def test_row_weights_weigh_values_and_not_neighbours(case: Case) -> None:
    """A row of weight 0 still is what other rows are compared with."""
    message = message_of(case, reduction="sum")
    rows, of_row = len(case.expected()), (-1, *[1] * (case.expected().ndim - 1))
    weights = (torch.arange(rows) % 3).double()
    plain = run(case, message)
    got = run(case, with_tensors(message, row_weights=weights))
    of_items = weights.view(of_row).expand_as(case.expected()).contiguous()
    pulled = run(case, with_tensors(message, cotangent=of_items))
    assert torch.equal(got.rows, plain.rows * of_items)
    assert got.sum == pytest.approx((plain.rows * of_items).sum().item(), rel=1e-12)
    if case.spec.weights is None:
        assert got.denominator == of_items.sum()
    alone = [with_tensors(message, row_weights=each) for each in torch.eye(len(weights)).double()]
    shares = torch.tensor([run(case, each).denominator for each in alone], dtype=torch.float64)
    assert got.denominator == pytest.approx((shares * weights).sum().item(), rel=1e-12)
    for key, gradient in got.gradients.items():
        torch.testing.assert_close(gradient, pulled.gradients[key], rtol=1e-12, atol=1e-15)


@coupled
def test_a_cotangent_gives_the_vector_jacobian_product(case: Case) -> None:
    message = message_of(case, reduction="sum")
    count, shape = case.expected().numel(), case.expected().shape
    cotangent = torch.linspace(-1, 2, count, dtype=torch.float64)
    message = with_tensors(message, cotangent=cotangent.view(shape))
    got = run(case, message)
    added = {key: torch.zeros_like(gradient) for key, gradient in got.gradients.items()}
    for i, factor in enumerate(cotangent):
        alone = torch.zeros_like(cotangent)
        alone[i] = factor
        pulled = run(case, with_tensors(message, cotangent=alone.view(shape)))
        for key, gradient in pulled.gradients.items():
            added[key] += gradient
    for key, gradient in got.gradients.items():
        torch.testing.assert_close(gradient, added[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", COSINES)
@pytest.mark.parametrize("rows", [0, 1])
def test_zero_vectors_never_make_a_nan(name: str, rows: int) -> None:
    case = next(case for case in COUPLED if case.spec.name == name)
    message = rows_of(case, message_of(case, torch.float32), slice(2 * rows))
    zeros = {key: torch.zeros_like(message.tensors[key]) for key in row_inputs(case)}
    got = run(case, with_tensors(message, **zeros))
    assert got.rows.isfinite().all()
    for key in row_inputs(case):
        gradient = got.gradients[key]
        # Scores may be 0 without being at rest; embeddings have no direction to go there.
        assert gradient.isfinite().all()
        assert not gradient.any() or "features" not in case.spec.inputs[key].dims


def by_direction(name: str) -> bool:
    """Whether a loss's first case takes embeddings by direction alone, as its parameters say."""
    case = next(case for case in COUPLED if case.spec.name == name)
    return bool(getattr(case.params, "normalize", False))


@pytest.mark.parametrize("name", [name for name in names if by_direction(name)])
@pytest.mark.parametrize("exponent", [100, -100])
def test_a_cosine_does_not_depend_on_lengths(name: str, exponent: int) -> None:
    """Not even on those whose squares float32 cannot hold."""
    case = next(case for case in COUPLED if case.spec.name == name)
    message, keys = message_of(case, torch.float32), row_inputs(case)
    longer = {key: message.tensors[key] * 2.0**exponent for key in keys}
    got, want = run(case, with_tensors(message, **longer)), run(case, message)
    assert torch.equal(got.rows, want.rows)
    for key in keys:
        assert torch.equal(got.gradients[key] * 2.0**exponent, want.gradients[key])


@pytest.mark.parametrize("name", PAIRED)
def test_more_pairs_than_elements_are_allowed_are_refused(name: str) -> None:
    """A small body must not ask for a matrix of its rows' square that no memory holds."""
    case = next(case for case in COUPLED if case.spec.name == name)
    call = parse_call(name, message_of(case))
    paired = call.paired_elements
    assert paired > 0

    async def submit(most: int) -> None:
        engine = Engine("cpu", lanes=1, threads=1, max_elements=most)
        try:
            await engine.submit(call, timeout_s=10)
        finally:
            engine.close()

    asyncio.run(submit(paired))
    with pytest.raises(TooLarge, match="pairs"):
        asyncio.run(submit(paired - 1))
