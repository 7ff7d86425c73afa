"""The rest of what Triton's public clients can ask for, and how they show what goes wrong."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

from conftest import running
from lossd.app import create_app
from lossd.losses import CATALOG
from lossd.settings import Settings
from oip_calls import LABELS, LOGITS, expected, tensors, wanted

PREFIX = "lossd_test_clients"
Client = triton.InferenceServerClient
KINDS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
         "cache_hit", "cache_miss")  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    settings = Settings(shared_memory=True, shared_memory_prefix=PREFIX, threads=1)
    with running(settings) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url.removeprefix("http://"), concurrency=4) as made:
        yield made


@pytest.fixture
def region(client: Client) -> Iterator[Any]:
    """Room for the logits and for their gradient, registered as `own`."""
    key, size = f"/{PREFIX}_own", 2 * LOGITS.nbytes
    made = shm.create_shared_memory_region("own", key, size)
    client.register_system_shared_memory("own", key, size)
    yield made
    client.unregister_system_shared_memory()
    shm.destroy_shared_memory_region(made)


def test_the_one_version_can_be_named_in_every_call(client: Client) -> None:
    assert client.get_model_metadata("mse", "1") == client.get_model_metadata("mse")
    assert client.get_model_config("mse", "1") == client.get_model_config("mse")
    assert client.get_model_metadata("mse")["versions"] == ["1"]
    (stats,) = client.get_inference_statistics("mse", "1")["model_stats"]
    assert (stats["name"], stats["version"]) == ("mse", "1")
    got = client.infer("cross_entropy", tensors(), model_version="1")
    assert got.get_response()["model_version"] == "1"
    assert got.as_numpy("value")[0] == pytest.approx(expected()[0])


def bad_labels(client: Client) -> Any:
    return client.infer("cross_entropy", tensors(logits=LOGITS, labels=LABELS + 5))


def shared(name: str, size: int, offset: int = 0) -> list[Any]:
    one = triton.InferInput("logits", list(LOGITS.shape), "FP32")
    one.set_shared_memory(name, size, offset)
    return [one, *tensors(labels=LABELS)]


def too_small(client: Client) -> Any:
    out = wanted("gradients.logits")
    out.set_shared_memory("own", 4)
    return client.infer("cross_entropy", tensors(), outputs=[out])


ERRORS: list[tuple[str, str, Callable[[Client], Any]]] = [
    ("404", "no loss is named 'nope'", lambda c: c.infer("nope", tensors())),
    ("404", "no loss is named 'nope'", lambda c: c.get_model_metadata("nope")),
    ("404", "no loss is named 'nope'", lambda c: c.get_model_config("nope")),
    ("404", "no loss is named 'nope'", lambda c: c.get_inference_statistics("nope")),
    ("404", "mse has no version '2'", lambda c: c.get_model_metadata("mse", "2")),
    ("404", "mse has no version '2'", lambda c: c.infer("mse", tensors(), model_version="2")),
    ("422", "2 values are not in [0, 3) (at inputs.labels)", bad_labels),
    ("422", "cross_entropy takes exactly one of logits and hidden (at inputs.logits)",
     lambda c: c.infer("cross_entropy", tensors(labels=LABELS))),
    ("422", "cross_entropy takes no input of that name (at inputs.x)",
     lambda c: c.infer("cross_entropy", tensors(logits=LOGITS, labels=LABELS, x=LABELS))),
    ("422", "there is no output of that name (at outputs.nope)",
     lambda c: c.infer("cross_entropy", tensors(), outputs=[wanted("nope")])),
    ("422", "cross_entropy has no parameter 'nope' (at parameters.nope)",
     lambda c: c.infer("cross_entropy", tensors(), parameters={"nope": 1})),
    ("422", "losses keep no sequences (at parameters.sequence_id)",
     lambda c: c.infer("cross_entropy", tensors(), sequence_id=1, sequence_start=True)),
    ("406", "FP16 cannot be written in JSON (at outputs.gradients.logits)",
     lambda c: c.infer("cross_entropy", tensors(logits=np.float16(LOGITS), labels=LABELS),
                       outputs=[wanted("gradients.logits", binary_data=False)])),
    ("404", "Unable to find shared memory region: 'none' (at shared_memory_region)",
     lambda c: c.infer("cross_entropy", shared("none", LOGITS.nbytes))),
    ("422", "reaches beyond the end of shared memory region 'own' (at shared_memory_byte_size)",
     lambda c: c.infer("cross_entropy", shared("own", LOGITS.nbytes, LOGITS.nbytes + 4))),
    ("400", "the output is larger than its place in shared memory "
     "(at outputs.gradients.logits.shared_memory_byte_size)", too_small),
    ("409", "shared memory region 'own' already in manager (at region)",
     lambda c: c.register_system_shared_memory("own", f"/{PREFIX}_own", 4)),
    ("404", "Unable to open shared memory region",
     lambda c: c.register_system_shared_memory("other", f"/{PREFIX}_absent", 4)),
    ("422", "the region is empty or reaches beyond the end of the shared memory (at byte_size)",
     lambda c: c.register_system_shared_memory("other", f"/{PREFIX}_own", 1 << 20)),
    ("404", "Unable to find shared memory region: 'none'",
     lambda c: c.get_system_shared_memory_status("none")),
    ("404", "Unable to find cuda shared memory region: 'none'",
     lambda c: c.get_cuda_shared_memory_status("none")),
    ("501", "losses are part of the service and cannot be unloaded",
     lambda c: c.unload_model("mse")),
    ("404", "no loss is named 'nope'", lambda c: c.load_model("nope")),
    ("501", "lossd does not have /v2/logging", lambda c: c.update_log_settings({})),
    ("501", "lossd does not have /v2/trace/setting", lambda c: c.update_trace_settings()),
    ("501", "lossd does not have /v2/models/mse/trace/setting",
     lambda c: c.get_trace_settings("mse")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "call"), ERRORS)
def test_an_error_has_its_status_and_its_message_in_the_client(
    client: Client, region: Any, status: str, message: str, call: Callable[[Client], Any]
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        call(client)
    assert caught.value.status() == status and caught.value.message().startswith(message)
    assert client.is_server_ready()


def test_a_service_that_drains_is_live_and_not_ready() -> None:
    settings = Settings(threads=1)
    app = create_app(settings)
    with running(settings, app) as url, Client(url.removeprefix("http://")) as client:
        assert client.is_server_ready() and client.is_model_ready("mse")
        app.state.ready = False
        assert client.is_server_live()
        assert not client.is_server_ready() and not client.is_model_ready("mse", "1")
        # Calls that were on their way are still answered.
        assert client.infer("cross_entropy", tensors()).as_numpy("value")[0] > 0


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("rows", [2, 9000], ids=["small", "large"])
def test_each_direction_has_its_own_compression(
    client: Client, request_algorithm: str, response_algorithm: str, binary: bool, rows: int
) -> None:
    logits = np.linspace(-3, 3, 3 * rows, dtype=np.float32).reshape(rows, 3)
    given = {"logits": logits, "labels": np.arange(rows) % 3}
    outputs = [wanted("value", binary_data=binary), wanted("gradients.logits", binary_data=binary)]
    plain = client.infer("cross_entropy", tensors(binary, **given), outputs=outputs)
    got = client.infer(
        "cross_entropy",
        tensors(binary, **given),
        outputs=outputs,
        request_compression_algorithm=request_algorithm,
        response_compression_algorithm=response_algorithm,
    )
    for name in ("value", "gradients.logits"):
        np.testing.assert_array_equal(got.as_numpy(name), plain.as_numpy(name))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_lengths_count_the_bytes_before_compression(url: str, algorithm: str) -> None:
    body, json_size = Client.generate_request_body(tensors())
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[algorithm]
    headers = {"Inference-Header-Content-Length": str(json_size), "Content-Encoding": algorithm,
               "Accept-Encoding": algorithm}  # fmt: skip
    with httpx.stream(
        "POST", f"{url}/v2/models/cross_entropy/infer", content=pack(body), headers=headers
    ) as answer:
        packed = b"".join(answer.iter_raw())
        assert int(answer.headers["content-length"]) == len(packed)
        assert answer.headers["content-encoding"] == algorithm
        length = int(answer.headers["inference-header-content-length"])
    got = Client.parse_response_body(
        packed, header_length=length, content_encoding=algorithm
    ).as_numpy("value")
    assert got[0] == pytest.approx(expected()[0])


def test_a_body_that_the_client_makes_can_be_sent_by_other_means(url: str) -> None:
    body, json_size = Client.generate_request_body(
        tensors(), outputs=[wanted("gradients.logits")], request_id="nine"
    )
    answer = httpx.post(
        f"{url}/v2/models/cross_entropy/infer",
        content=body,
        headers={"Inference-Header-Content-Length": str(json_size)},
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    got = Client.parse_response_body(
        answer.content, header_length=int(answer.headers["inference-header-content-length"])
    )
    assert got.get_response()["id"] == "nine"
    np.testing.assert_allclose(got.as_numpy("gradients.logits"), expected()[1], atol=1e-7)


def test_headers_and_query_parameters_of_the_caller_are_taken(client: Client) -> None:
    got = client.infer(
        "cross_entropy", tensors(), headers={"X-Tenant": "a"}, query_params={"trace": ["1", "2"]}
    )
    assert got.as_numpy("value")[0] == pytest.approx(expected()[0])
    assert client.is_server_live(headers={"X-Tenant": "a"}, query_params={"q": 1})


def test_tensors_without_elements_go_as_bytes_and_as_json(client: Client) -> None:
    for binary in (True, False):
        given = tensors(binary, logits=np.zeros((0, 3), np.float32), labels=np.zeros(0, np.int64))
        got = client.infer("cross_entropy", given)
        assert got.as_numpy("gradients.logits").shape == (0, 3)
        assert np.isnan(got.as_numpy("value")[0]) and got.as_numpy("count")[0] == 0


def test_classes_are_the_largest_first_as_bytes_or_as_json(client: Client) -> None:
    gradient = expected()[1].numpy()
    order = np.argsort(-gradient, axis=1)[:, :2]
    values = np.take_along_axis(gradient, order, axis=1)
    for binary in (True, False):
        output = wanted("gradients.logits", class_count=2, binary_data=binary)
        got = client.infer("cross_entropy", tensors(), outputs=[output])
        texts = got.as_numpy("gradients.logits")
        assert texts.shape == (2, 2)
        pairs = [(x.decode() if binary else x).split(":") for x in texts.reshape(-1).tolist()]
        assert [int(index) for _, index in pairs] == order.reshape(-1).tolist()
        found = [float(value) for value, _ in pairs]
        np.testing.assert_allclose(found, values.reshape(-1), atol=1e-6)


def test_the_index_may_be_narrowed_to_what_is_ready(url: str, client: Client) -> None:
    whole = client.get_model_repository_index()
    assert {each["version"] for each in whole} == {"1"} and len(whole) == len(CATALOG)
    assert httpx.post(f"{url}/v2/repository/index", json={"ready": True}).json() == whole
    client.load_model("mse", config="{}", files={"file:1/model": b"any"})


def test_statistics_have_every_count_that_tools_read_and_queue_count_grows(client: Client) -> None:
    """A load generator takes the version whose `queue.count` grows for the one that it calls."""

    def now() -> dict[str, Any]:
        (found,) = client.get_inference_statistics("huber")["model_stats"]
        return dict(found)

    before = now()
    given = {"prediction": np.float32([1, 2, 4]), "target": np.float32([0, 0, 0])}
    for grown in range(1, 4):
        client.infer("huber", tensors(**given), model_version="1" if grown % 2 else "")
        after = now()
        for kind in ("queue", "success"):
            counts = [each["inference_stats"][kind]["count"] for each in (before, after)]
            assert counts[1] - counts[0] == grown
        assert after["inference_stats"]["queue"]["ns"] > before["inference_stats"]["queue"]["ns"]
        assert after["execution_count"] - before["execution_count"] == grown
    assert after["version"].isdecimal() and set(after["inference_stats"]) == set(KINDS)
    for each in after["inference_stats"].values():
        assert set(each) == {"count", "ns"} and all(
            type(n) is int and n >= 0 for n in each.values()
        )
    assert (after["batch_stats"], after["memory_usage"]) == ([], [])
    for name in ("inference_count", "execution_count", "last_inference"):
        assert type(after[name]) is int and after[name] > 0


def test_a_part_of_a_region_may_be_an_input_and_another_an_output(
    client: Client, region: Any
) -> None:
    size = LOGITS.nbytes
    shm.set_shared_memory_region(region, [LOGITS], offset=size)
    out = wanted("gradients.logits")
    out.set_shared_memory("own", size, offset=0)
    got = client.infer("cross_entropy", shared("own", size, size), outputs=[out, wanted("rows")])
    found = shm.get_contents_as_numpy(region, np.float32, LOGITS.shape)
    np.testing.assert_allclose(found, expected()[1], atol=1e-7)
    assert got.as_numpy("rows").shape == (2,) and "data" not in got.get_output("gradients.logits")
    (listed,) = client.get_system_shared_memory_status("own")
    assert listed["byte_size"] == 2 * size
    client.unregister_system_shared_memory("own")
    client.unregister_system_shared_memory("own")  # what is gone already is no mistake
    assert client.get_system_shared_memory_status() == []


async def _all_routes(client: Any) -> None:
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("mse", "1") and not await client.is_model_ready("nope")
    assert (await client.get_server_metadata())["name"] == "lossd"
    metadata, config = await client.get_model_metadata("mse"), await client.get_model_config("mse")
    assert metadata["name"] == config["name"] == "mse"
    assert len(await client.get_model_repository_index()) == len(CATALOG)
    (stats,) = (await client.get_inference_statistics("mse"))["model_stats"]
    assert stats["name"] == "mse"
    await client.load_model("mse")
    assert await client.get_cuda_shared_memory_status() == []
    key = f"/{PREFIX}_async"
    made = shm.create_shared_memory_region("later", key, 8)
    try:
        await client.register_system_shared_memory("later", key, 8)
        (listed,) = await client.get_system_shared_memory_status()
        assert listed["key"] == key
    finally:
        await client.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(made)
    with pytest.raises(InferenceServerException) as caught:
        await client.infer("cross_entropy", tensors(api=triton_aio, labels=LABELS))
    assert (caught.value.status(), caught.value.message()) == (
        "422",
        "cross_entropy takes exactly one of logits and hidden (at inputs.logits)",
    )


async def _many_at_once(client: Any) -> None:
    """Each answer is that of its own call, whatever its format, loss and compression."""

    async def one(i: int) -> None:
        loss, power = (("mse", 2), ("l1", 1))[i % 2]
        given = {"prediction": np.float32([i, i]), "target": np.float32([0, 0])}
        algorithm = (None, "gzip", "deflate")[i % 3]
        output = triton_aio.InferRequestedOutput("value", binary_data=i % 4 < 2)
        got = await client.infer(
            loss,
            tensors(i % 5 < 3, api=triton_aio, **given),
            outputs=[output],
            request_id=str(i),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert got.get_response()["id"] == str(i) and got.get_response()["model_name"] == loss
        assert got.as_numpy("value")[0] == i**power

    await asyncio.gather(*(one(i) for i in range(1, 121)))


@pytest.mark.parametrize("calls", [_all_routes, _many_at_once])
def test_the_async_client_can_do_the_same(url: str, calls: Callable[[Any], Any]) -> None:
    async def run() -> None:
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
            await calls(client)

    asyncio.run(run())
