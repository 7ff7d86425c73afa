"""Rows in blocks, on the CPU by the plain functions: what is cut answers what the whole does."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from catalog_cases import Case, of_cases
from torch import Tensor

from case_requests import CASES, CPU, call_of, finite
from lossd.engine import compute
from lossd.engine.blocks import is_cuttable, run_in_blocks
from lossd.engine.plain import compute_plainly
from lossd.errors import OutOfMemory
from lossd.schema import Call, parse_call
from lossd.wire import Message

CUTTABLE = [case for case in CASES if finite(case) and is_cuttable(call_of(case))]
FIRST = list({case.spec.name: case for case in reversed(CUTTABLE)}.values())
FORMS: list[dict[str, Any]] = [
    {"reduction": "sum"},
    {"gradient_form": "row_norms"},
    {"gradient_form": "top_k", "gradient_top_k": 2},
]


def full_above(rows: int, call: Call, sizes: list[int]) -> Call:
    """The call of a loss that has no memory for more rows at once."""
    compute_it = call.spec.fn

    def fn(**arguments: Any) -> Tensor:
        values: Tensor = compute_it(**arguments)
        if len(values) > rows:
            raise torch.OutOfMemoryError("the device is full")
        sizes.append(len(values))
        return values

    return replace(call, spec=replace(call.spec, fn=fn))


@of_cases(CUTTABLE, 3)
def test_a_call_in_blocks_of_one_row_answers_what_the_whole_does(case: Case) -> None:
    assert_blocks_make_the_whole(case, {})


@of_cases(FIRST)
def test_so_does_a_call_with_other_reductions_and_forms(case: Case) -> None:
    """Which are no loss's own: each loss has one of them."""
    assert_blocks_make_the_whole(case, FORMS[FIRST.index(case) % len(FORMS)])


def assert_blocks_make_the_whole(case: Case, fields: dict[str, Any]) -> None:
    call = call_of(case, **fields)
    got, want = compute_plainly(call, CPU, block_bytes=1), compute_plainly(call, CPU)
    assert got.value == (None if want.value is None else pytest.approx(want.value, rel=1e-12))
    assert (got.denominator, got.count) == (want.denominator, want.count)
    assert got.sum == pytest.approx(want.sum, rel=1e-12, abs=1e-15)
    assert got.warnings == want.warnings
    torch.testing.assert_close(got.rows, want.rows, rtol=1e-12, atol=1e-15)
    for mine, theirs in ((got.gradients, want.gradients), (got.condensed, want.condensed)):
        assert mine.keys() == theirs.keys()
        for key, x in theirs.items():
            torch.testing.assert_close(mine[key], x, rtol=1e-12, atol=1e-15)


def test_the_pairs_within_a_row_count_towards_its_block() -> None:
    """Else a block of long lists would need a hundred times the memory that it was given."""
    lists = {key: torch.randn(8, 100).abs() for key in ("scores", "relevance")}
    sizes: list[int] = []
    call = full_above(8, parse_call("ranknet", Message(lists, {})), sizes)
    compute_plainly(call, CPU, block_bytes=2 * 16 * 4 * 100 * 100 + 100_000)
    assert max(sizes) == 2


def test_out_of_memory_halves_the_rows_and_goes_on_where_it_failed() -> None:
    case = max(CUTTABLE, key=lambda each: len(each.expected()))
    call, sizes = call_of(case), []
    got = compute_plainly(full_above(2, call, sizes), CPU)
    want = compute_plainly(call, CPU)
    assert max(sizes) <= 2 and sum(sizes) == len(case.expected())
    assert got.sum == pytest.approx(want.sum, rel=1e-12)
    for key, x in want.gradients.items():
        torch.testing.assert_close(got.gradients[key], x, rtol=1e-12, atol=1e-15)


def test_no_memory_for_one_row_is_the_callers_error() -> None:
    call = full_above(0, call_of(CUTTABLE[0], nonfinite="propagate"), [])
    with pytest.raises(OutOfMemory):
        compute(call, CPU)


@pytest.mark.parametrize("room", [1, 2, 3, 7, 100])
def test_every_row_is_done_once_after_failures(room: int) -> None:
    done: list[int] = []
    recovered = []

    def work(start: int, stop: int) -> None:
        if stop - start > room:
            raise MemoryError
        done.extend(range(start, stop))

    run_in_blocks(50, 40, work, lambda: recovered.append(len(done)))
    assert done == list(range(50))
    assert bool(recovered) == (room < 40)


def test_no_rows_are_one_block() -> None:
    blocks = []
    run_in_blocks(0, 10, lambda start, stop: blocks.append((start, stop)))
    assert blocks == [(0, 0)]


@pytest.mark.parametrize("error", [RuntimeError("no"), ValueError("no"), MemoryError("full")])
def test_other_errors_and_a_row_that_does_not_fit_are_raised(error: Exception) -> None:
    def work(start: int, stop: int) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        run_in_blocks(8, 4, work)
