"""New states and proximal operators, however a caller asks for them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
import torch
import tritonclient.http as triton
from catalog_cases import Case

from case_requests import CASES, CPU, message_of
from conftest import running
from lossd.cli import main
from lossd.engine import compute
from lossd.losses import CATALOG
from lossd.schema import parse_call
from lossd.settings import Settings
from lossd_client import AsyncClient, BadRequest, Client
from oip_calls import tensors, wanted

HAVING = [
    next(case for case in CASES if case.spec.name == name)
    for name, spec in CATALOG.items()
    if spec.extra_outputs
]
every_loss = pytest.mark.parametrize("case", HAVING, ids=lambda case: case.spec.name)
OLD = {"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1.0, 0.0], [0.0, 1.0]]}
PARAMS = {"bins": 4, "momentum": 0.75}


@pytest.fixture(scope="module")
def sharing() -> Iterator[str]:
    """A service that takes shared memory."""
    with running(Settings(shared_memory=True, threads=1)) as address:
        yield address


def expected(case: Case) -> dict[str, Any]:
    message = message_of(case, torch.float32, outputs=list(case.spec.extra_outputs))
    return {key: x.numpy() for key, x in compute(parse_call(case.spec.name, message), CPU)
            .extras.items()}  # fmt: skip


def arrays(case: Case) -> dict[str, Any]:
    return {key: x.numpy() for key, x in message_of(case, torch.float32).tensors.items()}


def params(case: Case) -> dict[str, Any]:
    return case.params.model_dump(mode="json")


@every_loss
def test_the_description_says_what_can_be_asked_for(http: httpx.Client, case: Case) -> None:
    described = http.get(f"/v1/losses/{case.spec.name}").json()
    assert described["extra_outputs"] == list(case.spec.extra_outputs)
    states = [name for name, each in described["inputs"].items() if each["role"] == "state"]
    assert states == list(case.spec.state_inputs)


@every_loss
def test_json_nests_them_by_their_inputs(http: httpx.Client, case: Case) -> None:
    body = {"inputs": case.inputs, "params": params(case), "outputs": [*case.spec.extra_outputs]}
    answer = http.post(f"/v1/losses/{case.spec.name}", json=body).json()
    for name, want in expected(case).items():
        place: Any = answer
        head, _, rest = name.partition(".")
        for part in (head, *rest.split("/", 1)):
            place = place[part]
        np.testing.assert_array_equal(np.float32(place), want)


@every_loss
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_the_inference_protocol_gives_them_by_default(url: str, case: Case, binary: bool) -> None:
    said = {name: each for name, each in params(case).items() if each is not None}
    want = expected(case)
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        named = {each["name"] for each in client.get_model_metadata(case.spec.name)["outputs"]}
        given = tensors(binary, **arrays(case))
        got = client.infer(case.spec.name, given, parameters=said)
        only = client.infer(
            case.spec.name, given, parameters=said, outputs=[wanted(next(iter(want)))]
        )
    assert {name.partition("/")[0] for name in want} <= named
    for name, x in want.items():
        np.testing.assert_array_equal(got.as_numpy(name), x)
    assert [each["name"] for each in only.get_response()["outputs"]] == [next(iter(want))]


@every_loss
def test_the_sdk_gives_them(url: str, sharing: str, case: Case) -> None:
    how: dict[str, Any] = {"params": params(case), "outputs": list(case.spec.extra_outputs)}
    inputs: dict[str, Any] = {}
    for key, x in arrays(case).items():
        head, slash, member = key.partition("/")
        if slash:
            inputs.setdefault(head, {})[member] = x
        else:
            inputs[head] = x

    async def asynchronously() -> Any:
        async with AsyncClient(url) as client:
            return await client.compute(case.spec.name, inputs=inputs, **how)

    with Client(url) as client:
        results = [client.compute(case.spec.name, inputs=inputs, **how)]
    results.append(asyncio.run(asynchronously()))
    with Client(sharing, shared_memory=True, shared_memory_least_bytes=1) as client:
        results.append(client.compute(case.spec.name, inputs=inputs, **how))
    for result in results:
        found = {"state": result.state, "proximal": result.proximal}
        for name, want in expected(case).items():
            place: Any = found
            head, _, rest = name.partition(".")
            for part in (head, *rest.split("/", 1)):
                place = place[part]
            np.testing.assert_array_equal(place, want)
            assert np.shape(place) == want.shape


def test_a_state_goes_round_between_calls_of_the_sdk(url: str) -> None:
    """Three calls of one batch: the average goes from 0 to the batch's own counts."""
    state: dict[str, Any] = {}
    with Client(url) as client:
        for step in range(1, 4):
            got = client.compute(
                "gradient_harmonized", inputs=OLD | state, params=PARAMS,
                outputs=["value", "state"],
            )  # fmt: skip
            state = got.state
            own = np.array([1, 1, 2, 0])  # |p - y| is .12, .27, .62 and .5
            np.testing.assert_allclose(state["counts"], own * (1 - 0.75**step), rtol=1e-6)


def test_group_dro_pulls_back_through_the_call_that_its_losses_are_of(url: str) -> None:
    """Rows of one call are the losses of the other, whose gradient is the first one's cotangent."""
    x, y, groups = np.float32([[2.0, 0.5], [0.1, 1.2], [0.0, 3.0]]), [0, 0, 1], [0, 1, 1]
    logits = torch.tensor(x, requires_grad=True)
    rows = torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none")
    means = torch.stack([rows[0], rows[1:].mean()])
    q = torch.softmax(0.5 * means.detach(), 0)
    (q @ means).backward()
    assert logits.grad is not None
    with Client(url) as client:
        one = client.compute("cross_entropy", logits=x, labels=y, outputs=["rows"])
        robust = client.compute(
            "group_dro", losses=one.rows, group_labels=groups, params={"step_size": 0.5},
            outputs=["gradients", "state"],
        )  # fmt: skip
        pulled = client.compute(
            "cross_entropy", logits=x, labels=y, cotangent=robust.gradients["losses"]
        )
    assert robust.value == pytest.approx((q @ means).item(), rel=1e-6)
    np.testing.assert_allclose(robust.state["group_weights"], q, rtol=1e-6)
    np.testing.assert_allclose(pulled.gradients["logits"], logits.grad, rtol=1e-5)


def test_a_group_that_does_not_exist_is_refused_by_its_place(url: str) -> None:
    with Client(url) as client, pytest.raises(BadRequest, match=r"in \[0, 2\)") as caught:
        client.compute("group_dro", losses=[1.0, 2.0], group_labels=[0, 2])
    assert caught.value.at == "inputs.group_labels" and caught.value.indices == [[1]]


def test_a_proximal_step_is_an_option_of_the_sdk(url: str) -> None:
    with Client(url) as client:
        got = client.compute(
            "l1_penalty", weights={"a": [3.0, -0.5]}, outputs=["proximal"], proximal_step=2.0
        )
    assert got.proximal["weights"]["a"].tolist() == [1.0, 0.0] and not got.gradients


def test_the_command_line_prints_and_writes_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "w.npy", np.float32([3.0, -0.5]))
    for name, x in OLD.items():
        np.save(tmp_path / f"{name}.npy", np.float32(x))
    weights, out = f"weights={tmp_path}/w.npy", tmp_path / "out.safetensors"
    words = ["eval", "l1_penalty", "--input", weights, "--proximal", "2", "--out", str(out)]
    assert main(words) == 0
    assert "proximal.weights         shape [2], norm 1" in capsys.readouterr().out
    assert safetensors.numpy.load_file(out)["proximal.weights"].tolist() == [1.0, 0.0]
    inputs = [word for name in OLD for word in ("--input", f"{name}={tmp_path}/{name}.npy")]
    words = ["eval", "gradient_harmonized", *inputs, "--param", "bins=4", "--state"]
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == {"counts": [1.0, 1.0, 2.0, 0.0]}
    assert main(words) == 0
    assert "state.counts             shape [4]" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["state", "proximal"])
def test_a_stream_has_none(url: str, name: str) -> None:
    table = pa.table({"logits": [[1.0, 2.0]], "labels": [0]})
    with (
        Client(url) as client,
        client.stream("cross_entropy", table, outputs=[name]) as stream,
        pytest.raises(BadRequest, match="a whole call") as caught,
    ):
        list(stream)
    assert caught.value.at == "outputs[0]"


def test_a_table_on_the_command_line_has_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "mse", "--inputs", str(tmp_path / "t.parquet"), "--state"])
    assert "of a whole call" in capsys.readouterr().err
