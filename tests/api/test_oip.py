"""The Open Inference Protocol by an unmodified client of Triton's, over both of its transports."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest
import torch
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

from case_requests import CASES, message_of, served
from conftest import running
from lossd.losses import CATALOG
from lossd.schema import parse_call
from lossd.settings import Settings
from oip_calls import LABELS, LOGITS, expected, tensors, wanted

PREFIX = "lossd_test_oip"
FIRST_CASES = list({case.spec.name: case for case in reversed(CASES)}.values())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    settings = Settings(shared_memory=True, shared_memory_prefix=PREFIX, threads=1, max_regions=5)
    with running(settings) as address:
        yield address


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(url.removeprefix("http://"), concurrency=4) as made:
        yield made


def test_health_and_readiness(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("mse") and client.is_model_ready("mse", "1")
    assert not client.is_model_ready("nope") and not client.is_model_ready("mse", "2")


def test_the_server_says_what_it_has_and_nothing_else(client: triton.InferenceServerClient) -> None:
    got = client.get_server_metadata()
    assert got["name"] == "lossd" and "system_shared_memory" in got["extensions"]
    assert not {"sequence", "cuda_shared_memory", "trace", "logging"} & set(got["extensions"])
    with running(Settings(threads=1)) as off:
        assert "system_shared_memory" not in httpx.get(f"{off}/v2").json()["extensions"]


@pytest.mark.parametrize("name", CATALOG)
def test_metadata_and_config_of_a_model_agree(
    client: triton.InferenceServerClient, name: str
) -> None:
    metadata, config = client.get_model_metadata(name), client.get_model_config(name)
    assert [each["name"] for each in metadata["inputs"]] == list(CATALOG[name].inputs)
    assert config["max_batch_size"] == 0 and config["name"] == metadata["name"] == name
    for kind in ("input", "output"):
        for one, other in zip(metadata[f"{kind}s"], config[kind], strict=True):
            assert one["name"] == other["name"] and one["shape"] == other["dims"]
            assert f"TYPE_{one['datatype']}" == other["data_type"]


def test_the_index_lists_every_loss(client: triton.InferenceServerClient) -> None:
    listed = client.get_model_repository_index()
    assert {(each["name"], each["state"]) for each in listed} == {(n, "READY") for n in CATALOG}
    client.load_model("mse")
    with pytest.raises(InferenceServerException, match="cannot be unloaded"):
        client.unload_model("mse")


# Every loss with binary tensors, and each third one with tensors in JSON too.
WAYS = [
    (case, binary)
    for i, case in enumerate(FIRST_CASES)
    for binary in ([True, False] if i % 3 == 0 else [True])
]


@pytest.mark.parametrize(
    ("case", "binary"),
    WAYS,
    ids=[f"{case.spec.name}-{'binary' if b else 'json'}" for case, b in WAYS],
)
def test_every_loss_gives_what_it_gives_elsewhere(
    client: triton.InferenceServerClient, case: Any, binary: bool
) -> None:
    message = message_of(case, torch.float32)
    result = served(parse_call(case.spec.name, message))
    arrays = {name: x.numpy() for name, x in message.tensors.items()}
    if not binary and not all(np.isfinite(x).all() for x in arrays.values()):
        return  # the client writes bare NaN and Infinity, which are no JSON
    parameters = {name: value for name, value in message.fields["params"].items()
                  if value is not None}  # fmt: skip
    inputs = tensors(binary, **arrays)
    got = client.infer(case.spec.name, inputs, parameters=parameters)
    assert got.as_numpy("sum")[0] == pytest.approx(result.sum, nan_ok=True)
    assert result.rows is not None
    np.testing.assert_array_equal(got.as_numpy("rows").reshape(result.rows.shape), result.rows)
    for key, gradient in result.gradients.items():
        np.testing.assert_array_equal(got.as_numpy(f"gradients.{key}"), gradient.numpy())


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_json_binary_and_mixed_tensors_mean_the_same(
    client: triton.InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    value, gradient = expected()
    inputs = [*tensors(binary_in, logits=LOGITS), *tensors(not binary_in, labels=LABELS)]
    outputs = [wanted("value", binary_data=binary_out),
               wanted("gradients.logits", binary_data=not binary_out)]  # fmt: skip
    got = client.infer("cross_entropy", inputs, outputs=outputs, request_id="seven")
    assert got.get_response()["id"] == "seven" and got.get_response()["model_version"] == "1"
    assert got.as_numpy("value")[0] == pytest.approx(value)
    np.testing.assert_allclose(got.as_numpy("gradients.logits"), gradient, atol=1e-7)
    assert got.as_numpy("rows") is None


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_goes_both_ways(
    client: triton.InferenceServerClient, algorithm: str, http: httpx.Client
) -> None:
    got = client.infer(
        "cross_entropy",
        tensors(),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert got.as_numpy("value")[0] == pytest.approx(expected()[0])
    body = {"inputs": json_inputs()}
    raw = http.post(
        "/v2/models/cross_entropy/infer", json=body, headers={"Accept-Encoding": algorithm}
    )
    assert raw.headers["content-encoding"] == algorithm
    listed = http.post(
        "/v2/models/cross_entropy/infer", json=body, headers={"Accept-Encoding": "gzip, deflate"}
    )
    assert "content-encoding" not in listed.headers


def json_inputs() -> list[dict[str, Any]]:
    return [
        {"name": "logits", "shape": [2, 3], "datatype": "FP32", "data": LOGITS.tolist()},
        {"name": "labels", "shape": [2], "datatype": "INT64", "data": LABELS.tolist()},
    ]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("labels", ["int8", "int32", "int64", "uint8", "uint64"])
def test_any_datatype_is_taken(
    client: triton.InferenceServerClient, dtype: str, labels: str
) -> None:
    inputs = tensors(logits=LOGITS.astype(dtype), labels=LABELS.astype(labels))
    got = client.infer("cross_entropy", inputs, outputs=[wanted("gradients.logits")])
    assert got.as_numpy("gradients.logits").dtype == dtype


def test_bfloat16_is_taken_and_given(client: triton.InferenceServerClient) -> None:
    one = triton.InferInput("logits", [2, 3], "BF16")
    one.set_data_from_numpy(LOGITS.astype(ml_dtypes.bfloat16))
    got = client.infer("cross_entropy", [one, *tensors(labels=LABELS)])
    np.testing.assert_allclose(
        np.float32(got.as_numpy("gradients.logits")), expected()[1], atol=1e-2
    )


def test_parameters_are_the_losss_own_and_the_calls_options(
    client: triton.InferenceServerClient,
) -> None:
    parameters = {"label_smoothing": 0.2, "reduction": "sum", "wrt": "logits",
                  "gradient_form": "row_norms", "outputs": "value,gradients"}  # fmt: skip
    got = client.infer("cross_entropy", tensors(), parameters=parameters)
    assert got.as_numpy("value")[0] == got.as_numpy("sum")[0]
    assert got.as_numpy("gradient_row_norms.logits").shape == (2,)
    assert json.loads(got.get_response()["parameters"]["params"])["label_smoothing"] == 0.2
    assert got.as_numpy("rows") is None
    got = client.infer("cross_entropy", tensors(), priority=1, timeout=5_000_000)
    assert got.as_numpy("value")[0] == pytest.approx(expected()[0])


def test_a_value_that_is_null_is_nan_and_said_so(client: triton.InferenceServerClient) -> None:
    inputs = tensors(logits=LOGITS, labels=np.int64([7, 7]))
    got = client.infer("cross_entropy", inputs, parameters={"ignore_index": 7})
    assert np.isnan(got.as_numpy("value")[0])
    assert got.get_response()["parameters"]["value_is_null"] is True
    as_json = client.infer(
        "cross_entropy",
        inputs,
        parameters={"ignore_index": 7},
        outputs=[wanted("value", binary_data=False)],
    )
    assert np.isnan(as_json.as_numpy("value")[0])


def test_classification_gives_the_largest_with_their_index(
    client: triton.InferenceServerClient,
) -> None:
    for binary in (True, False):
        outputs = [wanted("rows", class_count=1, binary_data=binary),
                   wanted("gradients.logits", class_count=9, binary_data=binary)]  # fmt: skip
        got = client.infer("cross_entropy", tensors(), outputs=outputs)
        (largest,) = got.as_numpy("rows").tolist()
        text = largest.decode() if binary else largest
        value, index = text.split(":")
        assert float(value) > 0 and index == "1"
        assert got.as_numpy("gradients.logits").shape == (2, 3)


def test_a_body_without_a_header_is_the_tensor_of_a_model_of_one(http: httpx.Client) -> None:
    data = np.float32([1.0, -2.0]).tobytes()
    headers = {"Inference-Header-Content-Length": "0"}
    got = http.post("/v2/models/l2_penalty/infer", content=data, headers=headers)
    size = int(got.headers["inference-header-content-length"])
    header = json.loads(got.content[:size])
    assert header["outputs"][0]["name"] == "value"
    assert np.frombuffer(got.content[size : size + 8], np.float64)[0] == 5
    refused = http.post("/v2/models/mse/infer", content=data, headers=headers)
    assert refused.status_code == 422


def test_the_async_client_can_have_many_calls_in_flight(url: str) -> None:
    async def all_of_it() -> None:
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
            assert await client.is_server_ready() and await client.is_model_ready("mse")
            assert (await client.get_model_metadata("mse"))["name"] == "mse"
            calls = [
                client.infer(
                    "mse",
                    tensors(api=triton_aio, prediction=np.float32([i]), target=np.float32([0])),
                )
                for i in range(64)
            ]
            for i, got in enumerate(await asyncio.gather(*calls)):
                assert got.as_numpy("value")[0] == i * i
            with pytest.raises(InferenceServerException, match="no loss is named"):
                await client.infer("nope", tensors(api=triton_aio))

    asyncio.run(all_of_it())


def test_async_infer_of_the_blocking_client(client: triton.InferenceServerClient) -> None:
    waiting = [client.async_infer("cross_entropy", tensors()) for _ in range(8)]
    assert all(each.get_result().as_numpy("value")[0] > 0 for each in waiting)


def test_statistics_grow_as_calls_are_made(client: triton.InferenceServerClient) -> None:
    def now(version: str = "") -> Any:
        return client.get_inference_statistics("brier", version)["model_stats"][0]

    before = now()
    inputs = tensors(logits=LOGITS, labels=LABELS)
    for _ in range(3):
        client.infer("brier", inputs)
    with pytest.raises(InferenceServerException):
        client.infer("brier", tensors(logits=LOGITS, labels=LABELS + 5))
    after = now("1")
    for name in ("queue", "success", "compute_input", "compute_infer", "compute_output"):
        grown = {k: after["inference_stats"][name][k] - before["inference_stats"][name][k]
                 for k in ("count", "ns")}  # fmt: skip
        assert grown["count"] == 3 and grown["ns"] > 0
    fails = [each["inference_stats"]["fail"]["count"] for each in (before, after)]
    assert fails[1] - fails[0] == 1
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["last_inference"] > 1_600_000_000_000
    listed = client.get_inference_statistics()["model_stats"]
    assert {each["name"] for each in listed} == set(CATALOG)


def test_tensors_go_through_shared_memory_both_ways(client: triton.InferenceServerClient) -> None:
    size = LOGITS.nbytes
    region = shm.create_shared_memory_region("both", f"/{PREFIX}_both", 2 * size)
    try:
        shm.set_shared_memory_region(region, [LOGITS])
        client.register_system_shared_memory("both", f"/{PREFIX}_both", 2 * size)
        (status,) = client.get_system_shared_memory_status("both")
        assert status == {"name": "both", "key": f"/{PREFIX}_both", "offset": 0,
                          "byte_size": 2 * size}  # fmt: skip
        one = triton.InferInput("logits", [2, 3], "FP32")
        one.set_shared_memory("both", size)
        out = wanted("gradients.logits")
        out.set_shared_memory("both", size, offset=size)
        got = client.infer(
            "cross_entropy", [one, *tensors(labels=LABELS)], outputs=[out, wanted("value")]
        )
        assert got.as_numpy("value")[0] == pytest.approx(expected()[0])
        assert got.get_output("gradients.logits") == {
            "name": "gradients.logits", "datatype": "FP32", "shape": [2, 3]}  # fmt: skip
        found = shm.get_contents_as_numpy(region, np.float32, [2, 3], offset=size)
        np.testing.assert_allclose(found, expected()[1], atol=1e-7)
    finally:
        client.unregister_system_shared_memory("both")
        shm.destroy_shared_memory_region(region)
    assert client.get_system_shared_memory_status() == []


def test_there_are_no_cuda_regions_and_that_is_said(client: triton.InferenceServerClient) -> None:
    assert client.get_cuda_shared_memory_status() == []
    client.unregister_cuda_shared_memory()
    with pytest.raises(InferenceServerException, match="CUDA"):
        client.register_cuda_shared_memory("x", b"handle", 0, 10)
    for call in (client.get_trace_settings, client.get_log_settings):
        with pytest.raises(InferenceServerException, match="does not have"):
            call()


INFER = "/v2/models/cross_entropy/infer"


def changed(**fields: Any) -> dict[str, Any]:
    logits, labels = json_inputs()
    return {"inputs": [logits | fields, labels]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "unreadable_body"),
        (b"{", 400, "unreadable_body"),
        (b"[]", 400, "unreadable_body"),
        (b"{}", 400, "unreadable_body"),
        (b'{"inputs": [{"name": 1}]}', 400, "unreadable_body"),
        ({"inputs": []}, 422, "missing_input"),
        (changed(shape=[2, 4]), 422, "wrong_shape"),
        (changed(shape=[-2, -3]), 422, "wrong_shape"),
        (changed(shape=[1] * 9), 422, "wrong_shape"),
        (changed(shape=[1 << 40, 1 << 40]), 413, "too_large"),
        (changed(datatype="FP31"), 422, "wrong_dtype"),
        (changed(datatype="BYTES"), 422, "wrong_dtype"),
        (changed(datatype="FP16"), 422, "wrong_dtype"),
        (changed(datatype="INT64"), 422, "wrong_dtype"),
        (changed(data=["a"] * 6), 422, "wrong_dtype"),
        (changed(data=[None] * 6), 422, "wrong_dtype"),
        (changed(data="text"), 422, "wrong_dtype"),
        (changed(name="labels"), 400, "unreadable_body"),
        (changed(name="nope"), 422, "unexpected_input"),
        (changed(parameters={"binary_data_size": 24}), 400, "unreadable_body"),
        (changed(parameters={"shared_memory_region": "x", "shared_memory_byte_size": 24}), 400,
         "unreadable_body"),
        ({"inputs": json_inputs(), "outputs": [{"name": "nope"}]}, 422, "unexpected_input"),
        ({"inputs": json_inputs(), "outputs": [{"name": "gradients.labels"}]}, 422, "bad_option"),
        ({"inputs": json_inputs(), "parameters": {"nope": 1}}, 422, "bad_option"),
        ({"inputs": json_inputs(), "parameters": {"label_smoothing": 2}}, 422, "bad_params"),
        ({"inputs": json_inputs(), "parameters": {"label_smoothing": "[" * 9}}, 422, "bad_params"),
        ({"inputs": json_inputs(), "parameters": {"sequence_id": 3}}, 422, "bad_option"),
        ({"inputs": json_inputs(), "parameters": {"binary_data_output": 1}}, 400,
         "unreadable_body"),
        ({"inputs": json_inputs(), "parameters": {"gradient_dtype": "float16"}}, 406,
         "not_acceptable"),
    ],
    ids=lambda x: None if isinstance(x, int) else str(x)[:60],
)  # fmt: skip
def test_a_callers_mistake_is_a_4xx_with_the_place(
    http: httpx.Client, body: Any, status: int, code: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    got = http.post(INFER, content=content)
    assert (got.status_code, got.json()["code"]) == (status, code)
    assert isinstance(got.json()["error"], str) and got.json()["error"]
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "999", "²", "9" * 30])
def test_a_lying_header_length_is_a_400(http: httpx.Client, length: str) -> None:
    body = json.dumps({"inputs": json_inputs()}).encode()
    headers = {"Inference-Header-Content-Length": length.encode()}
    got = http.post(INFER, content=body, headers=headers)  # type: ignore[arg-type]
    assert got.status_code == 400 and "header" in got.json()["error"]


@pytest.mark.parametrize("more", [b"", b"\0" * 23, b"\0" * 25])
def test_binary_data_of_the_wrong_length_is_a_400(http: httpx.Client, more: bytes) -> None:
    logits, labels = json_inputs()
    del logits["data"]
    logits["parameters"] = {"binary_data_size": 24}
    header = json.dumps({"inputs": [logits, labels]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    assert http.post(INFER, content=header + more, headers=headers).status_code == 400


@pytest.mark.parametrize("spaces", range(8))
def test_tensors_may_begin_at_any_byte(http: httpx.Client, spaces: int) -> None:
    logits, labels = json_inputs()
    for each in (logits, labels):
        del each["data"]
    logits["parameters"], labels["parameters"] = {"binary_data_size": 24}, {"binary_data_size": 16}
    header = json.dumps({"inputs": [logits, labels]}).encode() + b" " * spaces
    headers = {"Inference-Header-Content-Length": str(len(header))}
    data = LOGITS.tobytes() + LABELS.tobytes()
    for body in (header + data, iter([header + data])):  # with Content-Length, and chunked
        got = http.post(INFER, content=body, headers=headers).json()
        assert got["outputs"][0]["data"][0] == pytest.approx(expected()[0])
    packed = http.post(
        INFER, content=gzip.compress(header + data), headers=headers | {"Content-Encoding": "gzip"}
    )
    assert packed.json()["outputs"][0]["data"][0] == pytest.approx(expected()[0])


@pytest.mark.parametrize("path", ["/v2/models/nope", "/v2/models/nope/infer", "/v2/nope",
                                  "/v2/models/mse/versions/2", "/v2/models/mse/versions/x/ready",
                                  "/v2/health", "/v2/models/nope/stats"])  # fmt: skip
def test_what_is_not_there_is_a_404_in_the_protocols_shape(http: httpx.Client, path: str) -> None:
    call = http.post if path.endswith("infer") else http.get
    got = call(path)
    assert got.status_code == 404 and got.json()["error"]
    assert http.get(INFER).status_code == 405 and http.get(INFER).json()["error"]
