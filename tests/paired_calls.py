"""Calls of losses that pair every row with every other, and what their answers are held to."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from case_requests import CPU
from lossd.engine.compute import compute_plainly
from lossd.engine.fused import ONE_SLICE, Slices
from lossd.engine.memory import Buffers
from lossd.engine.paired import ROOM, Room, compute_paired, pick_paired
from lossd.losses._ops import direction
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message

BUFFERS = Buffers(1 << 26)
TINY = Room(block_bytes=1, kept_bytes=1)  # a row at a time, and none is kept


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
