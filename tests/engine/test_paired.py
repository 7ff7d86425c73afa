"""Losses that compare every row with every other: as good as the plain function, in blocks."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from catalog_cases import Case

from case_requests import CASES, CPU, message_of
from lossd.engine import compute
from lossd.engine.compute import compute_plainly
from lossd.engine.fused import Slices
from lossd.engine.paired import ROOM, Room, compute_paired, pick_paired
from lossd.engine.pairs import PAIRED
from lossd.errors import NotFinite
from lossd.schema import check_values, parse_call
from lossd.wire import Message
from objective_bodies import by_autograd, computed
from paired_calls import BUFFERS, TINY, assert_as_good_as_plain, call_of, in_blocks, tensors_of

every_loss = pytest.mark.parametrize("name", PAIRED)
SHAPES = [(1, 1), (1, 5), (2, 16), (7, 3), (16, 1), (33, 17), (70, 40)]
PARAMS: list[tuple[str, dict[str, Any]]] = [
    ("siglip", {}),
    ("siglip", {"normalize": False}),
    *(
        ("info_nce", {"normalize": normalize, "symmetric": symmetric})
        for normalize in (True, False)
        for symmetric in (True, False)
    ),
]
every_form = pytest.mark.parametrize(("name", "params"), PARAMS, ids=str)


@every_form
@pytest.mark.parametrize("kind", ["normal", "alike", "zeros"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_as_good_as_the_plain_ones(name, params, kind, shape) -> None:
    for reduction in ("mean", "sum", "none"):
        call = call_of(name, params, *shape, kind=kind, reduction=reduction)
        for room in (ROOM, TINY):
            assert_as_good_as_plain(call, in_blocks(call, room))


@every_form
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 30.0, 1e4, 1e6])
def test_any_scale_is_as_good_as_the_plain_one(name, params, scale) -> None:
    call = call_of(name, params, 19, 8, scale=scale)
    assert_as_good_as_plain(call, in_blocks(call))


@every_loss
@pytest.mark.parametrize("length", [1e-42, 1e-30, 1e-10, 1e10, 1e20, 3e37])
def test_directions_of_any_length_are_as_good_as_the_plain_ones(name: str, length: float) -> None:
    """Of the shortest, whose gradients float32 does not hold, only values are compared."""
    call = call_of(name, {}, 19, 8, outputs=["rows"] if length < 1e-38 else ["rows", "gradients"])
    scaled = {key: x * length if x.ndim == 2 else x for key, x in call.inputs.items()}
    call = dataclasses.replace(call, inputs=scaled)
    assert_as_good_as_plain(call, in_blocks(call))


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 0.07, 1.0, 1e6])
@pytest.mark.parametrize("symmetric", [True, False])
def test_any_temperature_is_as_good_as_the_plain_one(temperature, symmetric) -> None:
    params = {"temperature": temperature, "symmetric": symmetric}
    call = call_of("info_nce", params, 19, 8)
    assert_as_good_as_plain(call, in_blocks(call))


@pytest.mark.parametrize("bias", [-200.0, -10.0, 0.0, 10.0, 200.0])
def test_any_bias_is_as_good_as_the_plain_one(bias: float) -> None:
    call = call_of("siglip", {}, 19, 8, scale=10.0, bias=bias)
    assert_as_good_as_plain(call, in_blocks(call))


@pytest.mark.parametrize("negatives", [0, 1, 15, 100])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scale", [None, 5.0])
def test_negatives_have_gradients_and_columns_of_their_own(
    negatives: int, symmetric: bool, normalize: bool, scale: float | None
) -> None:
    params = {"symmetric": symmetric, "normalize": normalize}
    call = call_of("info_nce", params, 21, 6, negatives=negatives, scale=scale)
    for room in (ROOM, TINY):
        assert_as_good_as_plain(call, in_blocks(call, room))


@every_form
def test_row_weights_and_a_cotangent_are_what_each_row_counts(name, params) -> None:
    weights = torch.arange(23).double() % 3
    cotangent = torch.linspace(-1, 2, 23)
    for fields in (
        {"row_weights": weights},
        {"cotangent": cotangent},
        {"row_weights": weights, "cotangent": cotangent},
        {"row_weights": weights, "reduction": "sum"},
    ):
        call = call_of(name, params, 23, 6, **fields)
        assert_as_good_as_plain(call, in_blocks(call, TINY))


@every_form
def test_gradients_are_those_that_are_asked_for(name, params) -> None:
    negatives = 5 if name == "info_nce" else None
    form: dict[str, Any] = {"negatives": negatives, "scale": 3.0}
    call = call_of(name, params, 12, 4, **form)
    whole = in_blocks(call)
    for count in (1, 2):
        for wrt in itertools.combinations(call.wrt, count):
            got = in_blocks(call_of(name, params, 12, 4, **form, wrt=list(wrt)))
            assert list(got.gradients) == list(wrt)
            for key in wrt:
                assert torch.equal(got.gradients[key], whole.gradients[key])
    values = in_blocks(call_of(name, params, 12, 4, **form, outputs=["value", "rows"]))
    assert not values.gradients
    torch.testing.assert_close(values.rows, whole.rows, rtol=1e-6, atol=1e-6)


@every_form
def test_other_forms_and_dtypes_of_gradients_are_the_plain_ones(name, params) -> None:
    for fields in (
        {"gradient_form": "row_norms"},
        {"gradient_dtype": "float64"},
        {"gradient_dtype": "bfloat16"},
        {"dtype": torch.float16},
        {"dtype": torch.bfloat16},
    ):
        call = call_of(name, params, 12, 4, **fields)
        assert_as_good_as_plain(call, in_blocks(call))


@every_form
@pytest.mark.parametrize("rows_per_block", [1, 5, 16, 40])
@pytest.mark.parametrize("blocks_kept", [1, 2, 100])
def test_the_answer_does_not_depend_on_the_blocks(
    name: str, params: dict[str, Any], rows_per_block: int, blocks_kept: int
) -> None:
    call = call_of(name, params, 41, 20)
    size = 4 * 41 * rows_per_block
    room = Room(block_bytes=size, kept_bytes=size * blocks_kept)
    got, want = in_blocks(call, room), in_blocks(call)
    again = in_blocks(call, room)
    for key, x in tensors_of(want).items():
        near = {"rtol": 1e-5, "atol": 1e-6 * float(x.abs().max())}
        torch.testing.assert_close(tensors_of(got)[key], x, **near)
        assert torch.equal(tensors_of(got)[key], tensors_of(again)[key])


@every_form
def test_threads_do_not_change_the_bits(name, params) -> None:
    slices = Slices(3)
    call = call_of(name, params, 600, 30)
    got, want = in_blocks(call, ROOM, slices), in_blocks(call)
    slices.close()
    for key, x in tensors_of(want).items():
        assert torch.equal(tensors_of(got)[key], x)


@every_form
def test_a_product_that_overflows_is_left_to_the_plain_function(name, params) -> None:
    call = call_of(name, {**params, "normalize": False}, 6, 4, scale=1e30)
    larger = {key: x * 1e20 if x.ndim == 2 else x for key, x in call.inputs.items()}
    call = dataclasses.replace(call, inputs=larger)
    loss = pick_paired(call, CPU)
    assert loss is not None and compute_paired(loss, call, BUFFERS) is None
    got, want = compute(call, CPU), compute_plainly(call, CPU)
    assert [each.code for each in got.warnings] == [each.code for each in want.warnings]
    for key, x in tensors_of(want).items():
        torch.testing.assert_close(tensors_of(got)[key], x, rtol=0, atol=0, equal_nan=True)


@every_loss
def test_what_counts_nothing_or_is_empty_has_the_plain_answer(name: str) -> None:
    nothing = call_of(name, {}, 3, 4, row_weights=torch.zeros(3, dtype=torch.float64))
    got = compute(nothing, CPU)
    assert got.value is None and not any(x.any() for x in got.gradients.values())
    assert [each.code for each in got.warnings] == ["zero_denominator"]
    for shape in ((0, 4), (3, 0)):
        call = call_of(name, {}, *shape)
        assert pick_paired(call, CPU) is None
        check_values(call)


@every_loss
def test_a_bad_number_is_refused(name: str) -> None:
    call = call_of(name, {}, 5, 4)
    key = next(key for key in call.wrt if call.inputs[key].ndim == 2)
    for bad in (math.nan, math.inf, -math.inf):
        changed = call.inputs[key].clone()
        changed[3, 2] = bad
        with pytest.raises(NotFinite):
            compute(dataclasses.replace(call, inputs={**call.inputs, key: changed}), CPU)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.spec.name in PAIRED],
    ids=lambda case: f"{case.spec.name}-{case.source}",
)
@pytest.mark.parametrize("room", [ROOM, TINY], ids=["whole", "tiny"])
def test_reference_cases_in_float32(case: Case, room: Room) -> None:
    call = parse_call(case.spec.name, message_of(case, torch.float32, reduction="sum"))
    assert_as_good_as_plain(call, in_blocks(call, room))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("lead", [5.0, 20.0, 80.0])
def test_a_sure_answer_keeps_every_digit(symmetric: bool, lead: float) -> None:
    """Partners are ahead of the two others by `lead`: 1 - p is far below what 1 is exact to."""
    x = torch.eye(3) * math.sqrt(lead)
    given = {"queries": x, "keys": x.clone()}
    params = {"normalize": False, "symmetric": symmetric, "temperature": 1.0}
    asked = {"params": params, "reduction": "sum", "outputs": ["rows", "gradients"]}
    got = compute(parse_call("info_nce", Message(dict(given), asked)), CPU)
    rest = 2 * math.exp(-(float(x[0, 0]) ** 2))
    near = 1e-6 * lead  # what rounding the lead does to its exponential
    assert got.rows is not None
    assert got.rows.tolist() == pytest.approx([math.log1p(rest)] * 3, rel=near)
    of_own = -rest / (1 + rest) * float(x[0, 0])
    assert got.gradients["queries"][0, 0].item() == pytest.approx(of_own, rel=near)


def _body_of(name: str) -> dict[str, Any]:
    call = call_of(name, {}, 9, 4, scale=3.0)
    terms = [
        {"name": "twice", "loss": name, "inputs": {key: key for key in call.inputs}, "weight": 2},
        {"name": "size", "loss": "l2_penalty", "inputs": {"weights": "w"}},
    ]
    tensors = {key: x.tolist() for key, x in call.inputs.items()} | {"w": {"a": [1.0, 2.0]}}
    return {"tensors": tensors, "terms": terms, "dtype": "float32"}


@every_loss
def test_an_objective_has_the_gradient_of_the_same_expression(name: str) -> None:
    body = _body_of(name)
    got, want = computed(body), by_autograd(body, {"twice": 2.0, "size": 1.0}, {})
    assert got.value == pytest.approx(want[0], rel=1e-6)
    for key, x in want[1].items():
        torch.testing.assert_close(got.gradients[key].to(x.dtype), x, rtol=1e-5, atol=1e-5)


_PEAK = """
import json, sys, torch
from pathlib import Path
from lossd.engine import compute
from lossd.schema import parse_call
from lossd.wire import Message
name, params, rows = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
left, right = ("left", "right") if name == "siglip" else ("queries", "keys")
def peak_bytes():  # of this program alone; getrusage would begin at its parent's
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
def run(rows):
    given = {left: torch.ones(rows, 8), right: torch.ones(rows, 8)}
    if name == "siglip":
        given |= {"logit_scale": torch.tensor(10.0), "logit_bias": torch.tensor(-10.0)}
    compute(parse_call(name, Message(given, {"params": params})), torch.device("cpu"))
run(8)
before = peak_bytes()
run(rows)
print(json.dumps(peak_bytes() - before))
"""


@pytest.mark.parametrize(
    ("name", "params"), [("siglip", {}), ("info_nce", {}), ("info_nce", {"symmetric": True})]
)
def test_peak_memory_does_not_grow_with_rows_times_rows(name: str, params: dict[str, Any]) -> None:
    """All similarities of 12288 rows are 576 MiB."""
    command = [sys.executable, "-c", _PEAK, name, json.dumps(params), "12288"]
    peak_bytes = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    room = ROOM.kept_bytes if params.get("symmetric") else ROOM.block_bytes
    assert room / 2 < peak_bytes < room + (64 << 20)
