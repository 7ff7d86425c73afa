"""Mining as callers ask for it: every format, the inference protocol, the SDK, the command line."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch
import tritonclient.http as triton

from conftest import running
from lossd.cli import main
from lossd.settings import Settings
from lossd.wire import CODECS, Message
from lossd_client import AsyncClient, BadRequest, Client
from oip_calls import tensors, wanted

LOGITS = np.float32([[2.0, 0.5], [0.1, 1.2], [3.0, 1.0], [0.0, 0.0]])
LABELS = np.int64([0, 0, 1, 1])
GIVEN = {"logits": LOGITS, "labels": LABELS}
MINING = {"method": "ohem", "keep_fraction": 0.5}
OUTPUTS = ["value", "rows", "gradients", "kept_indices"]
KEPT = [1, 2]


def expected() -> tuple[float, Any]:
    """The mean of the two hardest rows and its gradient, by torch."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    value = torch.nn.functional.cross_entropy(logits[KEPT], torch.from_numpy(LABELS)[KEPT])
    value.backward()
    assert logits.grad is not None
    return value.item(), logits.grad.numpy()


@pytest.fixture(scope="module")
def sharing() -> Iterator[str]:
    """A service that takes shared memory."""
    with running(Settings(shared_memory=True, threads=1)) as address:
        yield address


@pytest.mark.parametrize("media_type", CODECS)
def test_every_format_asks_and_answers(http: httpx.Client, media_type: str) -> None:
    codec, (value, gradient) = CODECS[media_type], expected()
    fields: dict[str, Any] = {"mining": MINING, "outputs": OUTPUTS}
    if media_type == "application/json":
        inputs = {name: x.tolist() for name, x in GIVEN.items()}
        body = json.dumps({"inputs": inputs, **fields}).encode()
    else:
        body = codec.encode(Message({k: torch.from_numpy(x) for k, x in GIVEN.items()}, fields))
    answer = http.post(
        "/v1/losses/cross_entropy", content=body, headers={"content-type": media_type}
    )
    assert answer.status_code == 200, answer.text
    if media_type == "application/json":
        got = answer.json()
        assert got["kept_indices"] == KEPT and got["denominator"] == 2
        assert got["value"] == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(got["gradients"]["logits"], gradient, rtol=1e-5)
        return
    found = codec.decode(answer.content, 10**6).tensors
    assert found["kept_indices"].dtype == torch.int64 and found["kept_indices"].tolist() == KEPT
    np.testing.assert_allclose(found["gradients.logits"].numpy(), gradient, rtol=1e-5)


@pytest.mark.parametrize("asked", [None, ["value", "kept_indices"], ["kept_indices"]])
def test_the_inference_protocol_asks_with_a_parameter(url: str, asked: list[str] | None) -> None:
    outputs = None if asked is None else [wanted(name) for name in asked]
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        got = client.infer(
            "cross_entropy",
            tensors(**GIVEN),
            outputs=outputs,
            parameters={"mining": json.dumps(MINING)},
        )
    assert got.as_numpy("kept_indices").tolist() == KEPT
    if asked is None or "value" in asked:
        assert got.as_numpy("value")[0] == pytest.approx(expected()[0], rel=1e-6)


def test_the_sdk_asks_with_a_keyword(url: str, sharing: str) -> None:
    how: dict[str, Any] = {"mining": MINING, "outputs": OUTPUTS, **GIVEN}

    async def asynchronously() -> Any:
        async with AsyncClient(url) as client:
            return await client.compute("cross_entropy", **how)

    with Client(url) as client:
        results = [client.compute("cross_entropy", **how), asyncio.run(asynchronously())]
    with Client(sharing, shared_memory=True, shared_memory_least_bytes=1) as client:
        results.append(client.compute("cross_entropy", **how))
    value, gradient = expected()
    for got in results:
        assert got.kept_indices.tolist() == KEPT and got.kept_indices.dtype == np.int64
        assert got.value == pytest.approx(value, rel=1e-6) and len(got.rows) == 4
        np.testing.assert_allclose(got.gradients["logits"], gradient, rtol=1e-5)


def test_without_asking_no_indices_come(url: str) -> None:
    with Client(url) as client:
        got = client.compute("cross_entropy", mining=MINING, **GIVEN)
    assert got.kept_indices is None and got.denominator == 2


def test_states_come_beside_gradients_in_shared_memory(sharing: str) -> None:
    how: dict[str, Any] = {
        "logits": LOGITS, "targets": np.eye(4, 2, dtype=np.float32),
        "params": {"bins": 3}, "outputs": ["gradients", "state"],
    }  # fmt: skip
    with Client(sharing, shared_memory=True, shared_memory_least_bytes=1) as client:
        shared = client.compute("gradient_harmonized", **how)
        weights = {"a": np.float32([3.0, -0.5]), "b": np.float32(2.0)}
        moved = client.compute("l1_penalty", weights=weights, outputs=["gradients", "proximal"])
    with Client(sharing) as client:
        plain = client.compute("gradient_harmonized", **how)
    np.testing.assert_array_equal(shared.state["counts"], plain.state["counts"])
    np.testing.assert_array_equal(shared.gradients["logits"], plain.gradients["logits"])
    assert moved.proximal["weights"]["a"].tolist() == [2.0, 0.0]
    assert moved.proximal["weights"]["b"] == 1.0 and moved.gradients["weights"]["b"] == 1.0


def test_a_stream_is_not_mined(url: str) -> None:
    table = pa.table({"logits": LOGITS.tolist(), "labels": LABELS})
    metadata = {"mining": json.dumps(MINING)}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table)
    answer = httpx.post(
        f"{url}/v1/streams/cross_entropy",
        content=sink.getvalue().to_pybytes(),
        headers={"content-type": "application/vnd.apache.arrow.stream"},
    )
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["at"]) == ("bad_option", "mining")


def test_a_mistake_comes_back_with_its_place(url: str) -> None:
    with Client(url) as client, pytest.raises(BadRequest) as caught:
        client.compute("cross_entropy", mining={"method": "cvar", "alpha": 2}, **GIVEN)
    assert (caught.value.code, caught.value.at) == ("bad_option", "mining.alpha")


@pytest.mark.parametrize("remote", [False, True], ids=["in process", "on a service"])
def test_the_command_line_mines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, remote: bool
) -> None:
    for name, x in GIVEN.items():
        np.save(tmp_path / f"{name}.npy", x)
    inputs = [word for name in GIVEN for word in ("--input", f"{name}={tmp_path}/{name}.npy")]
    words = ["eval", "cross_entropy", *inputs, "--mining", json.dumps(MINING)]
    words += ["--url", url] if remote else []
    assert main(words) == 0
    out = capsys.readouterr().out
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["kept"] == "2" and float(lines["value"]) == pytest.approx(expected()[0], rel=1e-6)
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept_indices"] == KEPT
    with pytest.raises(SystemExit):
        main(["eval", "cross_entropy", *inputs, "--mining", "{"])
    assert "--mining" in capsys.readouterr().err
