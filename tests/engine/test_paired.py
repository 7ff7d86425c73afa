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
from torch import Tensor

from case_requests import CASES, CPU, message_of
from lossd.engine import compute
from lossd.engine.compute import compute_plainly
from lossd.engine.fused import ONE_SLICE, Slices
from lossd.engine.memory import Buffers
from lossd.engine.paired import ROOM, Room, compute_paired, pick_paired
from lossd.engine.pairs import PAIRED
from lossd.errors import NotFinite
from lossd.losses._ops import direction
from lossd.schema import Call, Result, check_values, parse_call
from lossd.wire import Message
from objective_bodies import by_autograd, computed

BUFFERS = Buffers(1 << 26)
TINY = Room(block_bytes=1, kept_bytes=1)  # a row at a time, and none is kept
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


def embeddings(kind: str, rows: int, features: int, draw: torch.Generator) -> Tensor:
    x = torch.randn(rows, features, generator=draw)
    if kind == "alike":
        x = x[:1].repeat(rows, 1)
    if kind == "zeros":
        x[::2] = 0
    return x


def call_of(
    name: str,
    params: dict[str, Any],
    rows: int,
    features: int,
    *,
    kind: str = "normal",
    scale: float | None = None,
    bias: float = -3.0,
    negatives: int | None = None,
    dtype: torch.dtype = torch.float32,
    **fields: Any,
) -> Call:
    draw = torch.Generator().manual_seed(rows + features)
    left, right = "queries", "keys"
    given: dict[str, Tensor] = {}
    if name == "siglip":
        left, right = "left", "right"
        given["logit_bias"] = torch.tensor(bias)
        scale = 4.0 if scale is None else scale
    given[left] = embeddings(kind, rows, features, draw).to(dtype)
    given[right] = given[left].clone()
    if kind != "alike":
        given[right] += embeddings(kind, rows, features, draw).to(dtype)
    if scale is not None:
        given["logit_scale"] = torch.tensor(scale)
    if negatives is not None:
        given["negatives"] = embeddings(kind, negatives, features, draw).to(dtype)
    given |= {key: fields.pop(key) for key in ("row_weights", "cotangent") if key in fields}
    asked = {"outputs": ["value", "rows", "gradients"], "params": params, **fields}
    return parse_call(name, Message(given, asked))


def in_blocks(call: Call, room: Room = ROOM, slices: Slices = ONE_SLICE) -> Result:
    loss = pick_paired(call, CPU)
    assert loss is not None
    found = compute_paired(loss, call, BUFFERS, slices, room)
    assert found is not None
    return found


def in_float64(call: Call) -> Call:
    return dataclasses.replace(call, inputs={key: x.double() for key, x in call.inputs.items()})


def tensors_of(result: Result) -> dict[str, Tensor]:
    rows = {} if result.rows is None else {"rows": result.rows}
    return {**rows, **result.gradients, **result.condensed}


def rounding_of(call: Call) -> tuple[float, float]:
    """What float32 does to the largest similarity, and the size of a gradient's single terms."""
    inputs, params = in_float64(call).inputs, call.params.model_dump()
    left, right, *more = (x for x in inputs.values() if x.ndim == 2)
    right = torch.cat([right, *more])
    if params["normalize"]:
        left, right = direction(left), direction(right)
    scale = inputs.get("logit_scale", torch.tensor(1.0 / params.get("temperature", 1.0)))
    outer = 1.0 if call.cotangent is None else float(call.cotangent.abs().max())
    outer *= 1.0 if call.row_weights is None else float(call.row_weights.max())
    if call.reduction == "mean" and call.cotangent is None:
        outer /= compute_plainly(call, CPU).denominator
    similarity = scale * left @ right.T
    term = outer * max(float(scale * max(left.abs().max(), right.abs().max())), 1.0)
    return 2e-7 * float(similarity.abs().max()), term


def assert_as_good_as_plain(call: Call, got: Result) -> None:
    """Errors against float64 are no larger than the plain function's in float32, and a few ulp.

    These are ulp of the similarities too: each product of matrices adds in an order of its own.
    """
    true, plain = compute_plainly(in_float64(call), CPU), compute_plainly(call, CPU)
    found, allowed, wanted = tensors_of(got), tensors_of(plain), tensors_of(true)
    rounding, term = rounding_of(call)
    assert list(found) == list(allowed)
    for key, want in wanted.items():
        x = found[key]
        assert x.dtype == allowed[key].dtype and x.shape == allowed[key].shape, key
        assert x.isfinite().all()
        if not want.numel():
            continue
        error, plain_error = (
            float((each.double() - want).abs().max()) for each in (x, allowed[key])
        )
        unit = {torch.float16: 5e-4, torch.bfloat16: 4e-3}.get(x.dtype, 3e-7)
        size = float(want.abs().max())
        bound = plain_error + unit * size + 1e-37
        bound += rounding if key == "rows" else rounding * max(size, term)
        assert error <= bound, (key, error, plain_error, bound)
    assert (got.count, got.denominator) == (plain.count, plain.denominator)
    near = abs(plain.sum - true.sum) + rounding * got.count
    assert got.sum == pytest.approx(true.sum, rel=2e-6, abs=near + 1e-15)
    assert (got.value is None) == (plain.value is None)
    assert got.warnings == plain.warnings


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
