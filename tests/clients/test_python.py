"""The Python SDK, against a live service and against servers that misbehave."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch

import lossd_client
from lossd import errors
from lossd.losses import CATALOG
from lossd_client import AsyncClient, Client, Retry
from lossd_client._retry import read_retry_after_s

LOGITS = [[2.0, 0.5], [0.1, 1.2]]
Answer = tuple[int, dict[str, str], bytes]


class OnlyArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(LOGITS, dtype=np.float32)


class OnlyDlpack:
    def __init__(self) -> None:
        self._array = np.array(LOGITS, dtype=np.float32)

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as made:
        yield made


@contextmanager
def scripted(answers: list[Answer | None]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in order; None hangs up. Yields its URL and the paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = answers[min(len(asked), len(answers)) - 1]
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OK: Answer = (200, {}, b'{"lossd": "0"}')
FULL: Answer = (503, {"Retry-After": "3"}, b'{"code": "overloaded", "detail": "full"}')


@pytest.mark.parametrize(
    "logits",
    [
        LOGITS,
        np.array(LOGITS, dtype=np.float32),
        np.array(LOGITS, dtype=">f4"),
        np.array(LOGITS, dtype=np.float32).T.copy().T,
        np.array(LOGITS),
        np.array(LOGITS, dtype=np.float16),
        torch.tensor(LOGITS),
        torch.tensor(LOGITS, requires_grad=True),
        torch.tensor(LOGITS).T.contiguous().T,
        torch.tensor(LOGITS, dtype=torch.bfloat16),
        OnlyArray(),
        OnlyDlpack(),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)
def test_whatever_holds_numbers_can_be_sent(client: Client, logits: Any) -> None:
    got = client.compute("cross_entropy", logits=logits, labels=[0, 1])
    assert got.value == pytest.approx(0.24437433, rel=1e-2)
    assert got.gradients["logits"].shape == (2, 2)
    if isinstance(logits, np.ndarray):
        assert got.gradients["logits"].dtype == logits.dtype.newbyteorder("=")


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint32"])
def test_labels_of_any_integer_dtype_can_be_sent(client: Client, dtype: str) -> None:
    labels = np.array([0, 1], dtype=dtype)
    assert client.compute("cross_entropy", logits=LOGITS, labels=labels).count == 2


@pytest.mark.parametrize("bad", ["text", ["a"], [[1.0], [1.0, 2.0]], np.array([object()]), 1j])
def test_what_holds_no_numbers_is_refused_by_name(client: Client, bad: Any) -> None:
    with pytest.raises(TypeError, match="logits"):
        client.compute("cross_entropy", logits=bad, labels=[0])


def test_every_option_travels(client: Client) -> None:
    got = client.compute(
        "cross_entropy",
        inputs={"logits": LOGITS, "labels": [0, 1]},
        params={"label_smoothing": 0.5},
        reduction="none",
        outputs=["rows", "gradients"],
        wrt=["logits"],
        row_weights=[1.0, 2.0],
        cotangent=np.array([1.0, 0.0], dtype=np.float32),
        gradient_dtype="bfloat16",
        nonfinite="propagate",
        class_axis=-1,
    )
    assert got.value is None and got.denominator == 3 and got.rows is not None
    assert got.params["label_smoothing"] == 0.5
    assert got.gradients["logits"].dtype == np.float32 and not got.gradients["logits"][1].any()
    assert got.seconds.keys() >= {"read", "compute"} and got.request_id


def test_a_group_goes_and_comes_as_a_dict(client: Client) -> None:
    weights = {"layer1.weight": [[1.0, -2.0]], "fc": [3.0]}
    got = client.compute("l2_penalty", weights=weights)
    assert got.value == 14 and got.gradients["weights"]["layer1.weight"].tolist() == [[2.0, -4.0]]


def test_gradients_come_in_smaller_forms(client: Client) -> None:
    dense = client.compute("mse", prediction=[[1.0, 5.0]], target=[[0.0, 0.0]])
    norms = client.compute(
        "mse", prediction=[[1.0, 5.0]], target=[[0.0, 0.0]], gradient_form="row_norms"
    )
    expected = np.linalg.norm(dense.gradients["prediction"], axis=1)
    assert norms.row_norms["prediction"] == pytest.approx(expected) and not norms.gradients
    top = client.compute(
        "mse",
        prediction=[[1.0, 5.0]],
        target=[[0.0, 0.0]],
        gradient_form="top_k",
        gradient_top_k=1,
    )
    assert top.top_k_indices["prediction"].tolist() == [[1]]
    assert top.top_k_values["prediction"].tolist() == [[5.0]]


def test_warnings_come_along(client: Client) -> None:
    got = client.compute("cross_entropy", logits=LOGITS, labels=[0, 0], params={"ignore_index": 0})
    assert got.value is None and [each.code for each in got.warnings] == ["zero_denominator"]


@pytest.mark.parametrize("name", CATALOG)
def test_every_example_can_be_computed(client: Client, name: str) -> None:
    request = client.describe(name)["example"]["request"]
    got = client.compute(name, inputs=request["inputs"], params=request.get("params"))
    assert got.loss == name and got.value is not None


def test_the_catalog_and_the_probes_can_be_read(client: Client) -> None:
    assert {each["name"] for each in client.losses()} == set(CATALOG)
    assert client.losses(family="regression", search="outliers", kind="prediction")
    assert client.version()["torch"] == torch.__version__
    assert client.is_ready()
    assert not Client("http://127.0.0.1:9", retry=Retry(times=0)).is_ready()


def test_the_async_client_does_the_same(url: str) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(url) as client:
            got = await client.compute("cross_entropy", logits=LOGITS, labels=[0, 1])
            assert got.value == pytest.approx(0.24437433)
            assert len(await client.losses()) == len(CATALOG)
            assert (await client.describe("mse"))["name"] == "mse"
            assert (await client.version())["lossd"] and await client.is_ready()
            with pytest.raises(lossd_client.UnknownLoss):
                await client.compute("nope")

    asyncio.run(all_of_it())


def test_the_two_error_trees_are_equal() -> None:
    theirs = {
        e.code: e for e in vars(errors).values() if isinstance(e, type) and hasattr(e, "code")
    }
    assert theirs.keys() == lossd_client.ERRORS.keys()
    for code, server_side in theirs.items():
        mine = lossd_client.ERRORS[code]
        assert mine.__name__ == server_side.__name__
        assert mine.__mro__[1].__name__ == server_side.__mro__[1].__name__


def test_a_refusal_is_raised_with_all_that_the_service_said(client: Client) -> None:
    with pytest.raises(lossd_client.OutOfRange) as caught:
        client.compute("cross_entropy", logits=LOGITS, labels=[0, 2])
    err = caught.value
    assert (err.code, err.status, err.at) == ("out_of_range", 422, "inputs.labels")
    assert (err.expected, err.got, err.indices) == ("in [0, 2)", "2", [[1]])
    assert err.request_id and "inputs.labels" in str(err)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOSSD_URL", raising=False)
    assert Client().base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("LOSSD_URL", "http://127.0.0.1:1234")
    assert Client().base_url == "http://127.0.0.1:1234"


def test_a_full_service_is_asked_again_after_the_time_it_names() -> None:
    pauses: list[float] = []
    with scripted([FULL, FULL, OK]) as (url, asked), Client(url, sleep=pauses.append) as client:
        assert client.version() == {"lossd": "0"}
    assert len(asked) == 3 and all(3 <= pause < 3.5 for pause in pauses)


def test_a_broken_connection_is_tried_again() -> None:
    pauses: list[float] = []
    with scripted([None, OK]) as (url, asked), Client(url, sleep=pauses.append) as client:
        assert client.version() == {"lossd": "0"}
    assert len(asked) == 2 and len(pauses) == 1


def test_repeating_ends() -> None:
    with scripted([FULL]) as (url, asked), Client(url, sleep=lambda _: None) as client:
        with pytest.raises(lossd_client.Overloaded) as caught:
            client.version()
        assert caught.value.retry_after_s == 3
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((503, {"Retry-After": "3600"}, b"{}"), lossd_client.LossdError),
        ((503, {}, b'{"code": "out_of_memory", "detail": ""}'), lossd_client.OutOfMemory),
        ((500, {}, b"<html>"), lossd_client.LossdError),
        ((422, {}, b'{"code": "from_the_future", "detail": "?"}'), lossd_client.LossdError),
        ((404, {}, b"[]"), lossd_client.LossdError),
    ],
)
def test_what_cannot_help_is_not_repeated(
    answer: Answer, kind: type[lossd_client.LossdError]
) -> None:
    with scripted([answer]) as (url, asked), Client(url) as client, pytest.raises(kind) as caught:
        client.version()
    assert len(asked) == 1 and caught.value.status == answer[0]


def test_nobody_there_is_a_connection_failure() -> None:
    nobody = Client("http://127.0.0.1:9", retry=Retry(times=0))
    with nobody as client, pytest.raises(lossd_client.ConnectionFailed):
        client.version()


def test_silence_is_a_timeout() -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, timeout_s=0.1) as client, pytest.raises(lossd_client.TimedOut):
            client.version()


def test_retry_after_is_a_number_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert read_retry_after_s("7") == 7
    assert read_retry_after_s(later, now) == 90
    assert read_retry_after_s("soon") is None and read_retry_after_s(None) is None


def test_pauses_grow_to_a_bound() -> None:
    retry, err = Retry(times=10), lossd_client.ConnectionFailed("gone")
    pauses = [retry.wait_s(err, tried, draw=lambda: 1.0) for tried in range(1, 12)]
    assert pauses[:3] == [0.1, 0.2, 0.4] and pauses[9] == 10 and pauses[10] is None


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "lists"])
def test_a_recipe_is_rebuilt_without_the_caller_noticing(client: Client, kind: str) -> None:
    logits: Any = LOGITS if kind == "lists" else torch.tensor(LOGITS, dtype=getattr(torch, kind))
    for more in ({}, {"params": {"label_smoothing": 0.2}}, {"row_weights": [0.0, 2.0]}):
        dense = client.compute("cross_entropy", logits=logits, labels=[0, 1], **more)
        small = client.compute(
            "cross_entropy", logits=logits, labels=[0, 1], gradient_form="recipe", **more
        )
        got, want = small.gradients["logits"], dense.gradients["logits"]
        assert got.dtype == want.dtype and small.value == dense.value
        tolerance = 1e-2 if kind == "bfloat16" else 1e-6
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_read_as_stored_numbers(client: Client, dtype: torch.dtype) -> None:
    stored = torch.tensor(LOGITS).to(dtype)
    got = client.compute("cross_entropy", logits=stored, labels=[0, 1])
    want = client.compute("cross_entropy", logits=stored.float(), labels=[0, 1])
    assert got.value == want.value
    np.testing.assert_array_equal(got.gradients["logits"], want.gradients["logits"])
