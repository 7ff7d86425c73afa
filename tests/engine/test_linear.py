"""Logits made of hidden states and a classifier: as if posted, in memory that does not grow."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from case_requests import CPU
from lossd.engine import Engine, compute, linear
from lossd.errors import MissingInput, NotFinite, TooLarge
from lossd.losses import CATALOG
from lossd.schema import Result, parse_call
from lossd.wire import CODECS, Message
from lossd.wire.arrow_stream import Elements, read_column, write_column
from lossd_client import Client
from stream_caller import exchange

ROWS, FEATURES, CLASSES = 23, 6, 9
LINEAR = [name for name, spec in CATALOG.items() if spec.linear]
MADE_OF = ("hidden", "classifier", "classifier_bias")
every_loss = pytest.mark.parametrize("name", LINEAR)
every_chunk = pytest.mark.parametrize("rows_per_chunk", [1, 4, 22, 23, 1000])
ASKED = ["value", "rows", "gradients"]


def tensors(dtype: torch.dtype = torch.float64, rows: int = ROWS) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)

    return {
        "hidden": normal(rows, FEATURES),
        "classifier": normal(CLASSES, FEATURES),
        "classifier_bias": normal(CLASSES),
        "labels": torch.randint(CLASSES, (rows,), generator=draw),
    }


def extras(name: str) -> dict[str, Tensor]:
    """The weights of classes that a loss takes, under whichever name."""
    names = [key for key, each in CATALOG[name].inputs.items() if each.dims == ("classes",)]
    weights = torch.linspace(0.25, 2, CLASSES, dtype=torch.float64)
    return {key: weights for key in names if key != "classifier_bias"}


def answer(name: str, given: dict[str, Tensor], **fields: Any) -> Result:
    return compute(parse_call(name, Message(given, {"outputs": ASKED, **fields})), CPU)


def composed(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same request with its logits in place of what they are made of."""
    logits = given["hidden"] @ given["classifier"].T
    if "classifier_bias" in given:
        logits = logits + given["classifier_bias"]
    return {"logits": logits} | {key: x for key, x in given.items() if key not in MADE_OF}


def gradients_by_chain_rule(given: dict[str, Tensor], of_logits: Tensor) -> dict[str, Tensor]:
    """What autograd makes of the product, from the gradient that posted logits got."""
    names = [name for name in MADE_OF if name in given]
    leaves = {name: given[name].clone().requires_grad_() for name in names}
    found = torch.autograd.grad(composed({**given, **leaves})["logits"], leaves.values(), of_logits)
    return dict(zip(names, found, strict=True))


def assert_same(got: Result, want: Result, tolerance: float) -> None:
    near = {"rel": tolerance, "abs": tolerance}
    assert got.sum == pytest.approx(want.sum, **near)
    assert got.denominator == pytest.approx(want.denominator, rel=1e-12)
    assert got.count == want.count
    assert got.value == (None if want.value is None else pytest.approx(want.value, **near))
    torch.testing.assert_close(got.rows, want.rows, rtol=tolerance, atol=tolerance)


def assert_as_posted(
    name: str, given: dict[str, Tensor], tolerance: float, **fields: Any
) -> Result:
    got, want = answer(name, given, **fields), answer(name, composed(given), **fields)
    assert_same(got, want, tolerance)
    expected = gradients_by_chain_rule(given, want.gradients["logits"])
    assert got.gradients.keys() == expected.keys()
    for key, each in expected.items():
        torch.testing.assert_close(got.gradients[key], each, rtol=tolerance, atol=tolerance)
    return got


@pytest.fixture
def chunks_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many rows of float64 logits make a chunk."""

    def chunks_of(rows: int) -> None:
        monkeypatch.setattr(linear, "CHUNK_BYTES", rows * CLASSES * 8)

    return chunks_of


def test_the_losses_of_softmax_logits_are_linear() -> None:
    assert {"cross_entropy", "focal", "generalized_cross_entropy"} <= set(LINEAR)


@every_loss
@every_chunk
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_it_is_as_if_the_logits_were_posted(
    name: str, rows_per_chunk: int, reduction: str, chunks_of: Any
) -> None:
    chunks_of(rows_per_chunk)
    assert_as_posted(name, tensors() | extras(name), 1e-12, reduction=reduction)


@every_loss
@pytest.mark.parametrize("rows_per_chunk", [3, 1000])
def test_in_float32_it_differs_by_rounding_only(
    name: str, rows_per_chunk: int, chunks_of: Any
) -> None:
    chunks_of(rows_per_chunk)
    assert_as_posted(name, tensors(torch.float32), 2e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_how_rows_are_cut_changes_no_more_than_rounding(
    name: str, dtype: torch.dtype, chunks_of: Any
) -> None:
    given = tensors(dtype)
    chunks_of(1000)
    whole = answer(name, given)
    chunks_of(2)
    cut = answer(name, given)
    tolerance = 1e-13 if dtype == torch.float64 else 1e-6
    assert_same(cut, whole, tolerance)
    for key, each in whole.gradients.items():
        torch.testing.assert_close(cut.gradients[key], each, rtol=tolerance, atol=tolerance)


@every_loss
def test_options_mean_what_they_mean_for_logits(name: str, chunks_of: Any) -> None:
    chunks_of(4)
    given = tensors() | extras(name)
    del given["classifier_bias"]
    given["labels"][::5] = -100
    given["row_weights"] = torch.arange(ROWS).double() % 3
    params = {"ignore_index": -100}
    got = assert_as_posted(name, given, 1e-12, params=params)
    assert set(got.gradients) == {"hidden", "classifier"}
    given["cotangent"] = torch.linspace(-1, 2, ROWS, dtype=torch.float64)
    assert_as_posted(name, given, 1e-12, params=params)


def test_soft_targets_and_smoothing_hold_on_any_class_axis(chunks_of: Any) -> None:
    chunks_of(4)
    given = tensors() | extras("cross_entropy")
    del given["labels"]
    draw = torch.Generator().manual_seed(6)
    targets = torch.rand(ROWS, CLASSES, generator=draw, dtype=torch.float64).softmax(1)
    for axis in (1, -1):
        given["target_probabilities"] = targets
        fields: dict[str, Any] = {"params": {"label_smoothing": 0.1}, "class_axis": axis}
        assert_as_posted("cross_entropy", given, 1e-12, **fields)


@every_loss
@pytest.mark.parametrize("wrt", [["hidden"], ["classifier"], ["classifier_bias", "hidden"]])
def test_wrt_narrows_the_gradients(name: str, wrt: list[str]) -> None:
    given = tensors()
    got, all_of_them = answer(name, given, wrt=wrt), answer(name, given)
    assert set(got.gradients) == set(wrt)
    for key in wrt:
        assert torch.equal(got.gradients[key], all_of_them.gradients[key])
    assert not answer(name, given, outputs=["value"]).gradients


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32_and_rounded_once(
    name: str, dtype: torch.dtype, chunks_of: Any
) -> None:
    chunks_of(5)
    given = tensors(dtype)
    wide = {key: x.float() if x.is_floating_point() else x for key, x in given.items()}
    got, want = answer(name, given), answer(name, wide)
    assert_same(got, want, 1e-6)
    asked = answer(name, given, gradient_dtype="float32")
    for key, each in want.gradients.items():
        torch.testing.assert_close(asked.gradients[key], each, rtol=1e-5, atol=1e-7)
        assert torch.equal(got.gradients[key], asked.gradients[key].to(dtype))


@every_loss
def test_an_empty_batch_and_one_where_nothing_counts_have_a_defined_answer(name: str) -> None:
    ignored = tensors(rows=3)
    ignored["labels"][:] = -1
    for given in (tensors(rows=0), ignored):
        got = answer(name, given, params={"ignore_index": -1})
        assert (got.value, got.sum, got.denominator) == (None, 0.0, 0.0)
        assert [each.code for each in got.warnings] == ["zero_denominator"]
        assert {key: x.shape for key, x in got.gradients.items()} == {
            key: given[key].shape for key in MADE_OF
        }
        assert not any(x.any() for x in got.gradients.values())


@every_loss
def test_smaller_forms_of_the_gradient_are_of_hidden_states(name: str) -> None:
    given = tensors()
    want = answer(name, given).gradients["hidden"]
    norms = answer(name, given, gradient_form="row_norms")
    torch.testing.assert_close(norms.condensed["gradient_row_norms.hidden"], want.norm(dim=1))
    assert set(norms.gradients) == {"classifier", "classifier_bias"}


@every_loss
def test_a_product_that_overflows_is_refused_with_its_rows(name: str, chunks_of: Any) -> None:
    chunks_of(3)
    given = tensors(torch.float32)
    given["hidden"][[7, 20]] = 1e30
    given["classifier"][2] = 1e30
    with pytest.raises(NotFinite) as caught:
        answer(name, given)
    assert caught.value.at == "inputs.hidden"
    assert [7] in (caught.value.indices or [])
    assert answer(name, given, nonfinite="propagate").sum != 0


@every_loss
def test_more_logits_than_are_allowed_are_refused(name: str) -> None:
    call = parse_call(name, Message(tensors(), {}))

    async def submit(most: int) -> None:
        engine = Engine("cpu", lanes=1, threads=1, max_linear_logits=most)
        try:
            await engine.submit(call, timeout_s=10)
        finally:
            engine.close()

    asyncio.run(submit(ROWS * CLASSES))
    with pytest.raises(TooLarge, match="too many logits"):
        asyncio.run(submit(ROWS * CLASSES - 1))


_PEAK = """
import json, sys, torch
from pathlib import Path
from lossd.engine import compute
from lossd.schema import parse_call
from lossd.wire import Message
name, rows, dtype = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3])
torch.set_num_threads(1)
given = {
    "hidden": torch.ones(rows, 8, dtype=dtype),
    "classifier": torch.ones(16384, 8, dtype=dtype),
    "labels": torch.zeros(rows, dtype=torch.int64),
}
def peak_bytes():  # of this program alone; getrusage would begin at its parent's
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
def run(rows):
    cut = {key: x if key == "classifier" else x[:rows] for key, x in given.items()}
    compute(parse_call(name, Message(cut, {})), torch.device("cpu"))
run(8)
before = peak_bytes()
run(rows)
print(json.dumps(peak_bytes() - before))
"""


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_peak_memory_does_not_grow_with_the_logits(name: str, dtype: torch.dtype) -> None:
    """The logits of all rows are 16 chunks of float32, 32 of float64, and a gradient as many."""
    command = [sys.executable, "-c", _PEAK, name, "8192", str(dtype).removeprefix("torch.")]
    peak_bytes = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert linear.CHUNK_BYTES < peak_bytes < 10 * linear.CHUNK_BYTES


@every_loss
@pytest.mark.parametrize("media_type", CODECS)
def test_every_format_carries_it(http: Any, name: str, media_type: str) -> None:
    given, codec = tensors(torch.float32), CODECS[media_type]
    listed = Message({}, {"inputs": {key: x.tolist() for key, x in given.items()}})
    is_json = media_type == "application/json"
    body = codec.encode(listed if is_json else Message(given, {}))
    accept = "application/vnd.safetensors" if is_json else media_type
    headers = {"content-type": media_type, "accept": accept}
    reply = http.post(f"/v1/losses/{name}", content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    found, want = CODECS[accept].decode(reply.content, 10**6).tensors, answer(name, given)
    for key in MADE_OF:
        assert torch.equal(found[f"gradients.{key}"], want.gradients[key])


@every_loss
def test_the_sdk_needs_to_know_nothing_of_it(url: str, name: str) -> None:
    given = {key: x.numpy() for key, x in tensors(torch.float32).items()}
    want = answer(name, tensors(torch.float32))
    with Client(url) as client:
        got = client.compute(name, **given)
    assert got.value == want.value
    for key in MADE_OF:
        np.testing.assert_array_equal(got.gradients[key], want.gradients[key])


@every_loss
def test_a_stream_has_hidden_states_in_columns_and_one_classifier(url: str, name: str) -> None:
    given = tensors()
    shared = {
        key: {"dtype": "float64", "shape": list(given[key].shape), "data": given[key].tolist()}
        for key in ("classifier", "classifier_bias")
    }
    rows = ["hidden", "labels"]
    whole = pa.record_batch([write_column(key, given[key]) for key in rows], names=rows)
    batches = [whole.slice(i, 8) for i in range(0, ROWS, 8)]
    fields = {"inputs": shared, "outputs": ["gradients"]}
    notes, complete = exchange(url, batches, name, **fields)
    got = [batch for batch, _ in notes]
    want = answer(name, given, reduction="sum")
    assert complete
    columns = [each.column("gradients.hidden") for each in got if len(each)]
    parts = [read_column("hidden", each, Elements(10**6)) for each in columns]
    torch.testing.assert_close(torch.cat(parts), want.gradients["hidden"])
    assert "gradients.classifier" not in got[0].schema.names
    problem = exchange(url, batches, name, **fields, wrt=["hidden", "classifier"])
    assert (problem["code"], problem["at"]) == ("bad_option", "wrt[1]")


@every_loss
@pytest.mark.parametrize(
    ("lost", "at"),
    [(["hidden"], "logits"), (["classifier"], "classifier"), (list(MADE_OF), "logits")],
)
def test_what_is_missing_is_named(name: str, lost: list[str], at: str) -> None:
    given = {key: x for key, x in tensors().items() if key not in lost}
    with pytest.raises(MissingInput) as caught:
        answer(name, given)
    assert caught.value.at == f"inputs.{at}"
