"""Streams of the SDK: every source, both ways to send it, and whatever breaks in the middle."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from catalog_cases import Case
from fastapi import FastAPI

from case_requests import CASES, call_of, message_of, served
from conftest import running
from lossd.app import create_app
from lossd.settings import Settings
from lossd_client import (
    BadOption,
    Client,
    ConnectionFailed,
    LossdError,
    MissingInput,
    OutOfRange,
    Overloaded,
    Retry,
    SocketTransport,
    TimedOut,
    TooLarge,
    UnknownLoss,
)
from lossd_client.stream import Stream
from socket_servers import serving

ROOT = Path(__file__).parents[2]
ROWS, CLASSES = 1000, 7
LOGITS = np.random.default_rng(0).standard_normal((ROWS, CLASSES), np.float32)
LABELS = np.random.default_rng(1).integers(0, CLASSES, ROWS)
WEIGHTS = np.linspace(0.5, 2.0, CLASSES)
BOTH_WAYS = pytest.mark.parametrize("windowed", [False, True], ids=["one connection", "windowed"])


def part(start: int, stop: int) -> dict[str, Any]:
    rows = slice(start, stop)
    return {"id": np.arange(ROWS)[rows], "logits": LOGITS[rows], "labels": LABELS[rows]}


def record_batch(start: int, stop: int) -> Any:
    columns = part(start, stop)
    flat = pa.array(columns["logits"].ravel())
    columns["logits"] = pa.FixedSizeListArray.from_arrays(flat, CLASSES)
    return pa.record_batch({name: pa.array(x) for name, x in columns.items()})


def batches(*cuts: int) -> list[Any]:
    return [record_batch(a, b) for a, b in zip([0, *cuts], [*cuts, ROWS], strict=True)]


def parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_batches(batches()), folder / "x.parquet", row_group_size=300)
    return folder / "x.parquet"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "record batches": lambda _: iter(batches(1, 400, 400, 401)),
    "a reader": lambda _: pa.Table.from_batches(batches(500)).to_reader(),
    "a table": lambda _: pa.Table.from_batches(batches(3, 999)),
    "tables": lambda _: (
        [pa.Table.from_batches(batches(2, 10).__getitem__(i)) for i in ()]
        or [pa.Table.from_batches([each]) for each in batches(2, 10)]
    ),
    "one record batch": lambda _: record_batch(0, ROWS),
    "dicts of arrays": lambda _: (part(a, min(a + 333, ROWS)) for a in range(0, ROWS, 333)),
    "dicts of lists": lambda _: [{k: x.tolist() for k, x in part(0, ROWS).items()}],
    "dicts of torch tensors": lambda _: [
        {k: torch.from_numpy(x) for k, x in part(0, ROWS).items()}
    ],
    "one dict": lambda _: part(0, ROWS),
    "a Parquet file": lambda folder: parquet(folder),
    "a Parquet file's name": lambda folder: str(parquet(folder)),
}


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[Client]:
    with Client(url) as made:
        yield made


@pytest.fixture(scope="module")
def whole(client: Client) -> Any:
    """The same rows in one call."""
    outputs = ["rows", "gradients"]
    inputs = {"logits": LOGITS, "labels": LABELS, "class_weights": WEIGHTS}
    return client.compute("cross_entropy", inputs=inputs, reduction="sum", outputs=outputs)


@BOTH_WAYS
@pytest.mark.parametrize("most_batch_bytes", [1000, 1 << 22])
@pytest.mark.parametrize("source", SOURCES)
def test_the_answers_are_those_of_one_whole_call_however_it_is_cut(
    client: Client, whole: Any, tmp_path: Path, source: str, most_batch_bytes: int, windowed: bool
) -> None:
    stream = client.stream(
        "cross_entropy",
        SOURCES[source](tmp_path),
        outputs=["gradients"],
        class_weights=WEIGHTS,
        most_batch_bytes=most_batch_bytes,
        windowed=windowed,
    )
    answers = list(stream)
    assert np.array_equal(np.concatenate([each["id"] for each in answers]), np.arange(ROWS))
    assert all(each.record_batch.schema == answers[0].record_batch.schema for each in answers)
    rows = np.concatenate([each.rows for each in answers])
    gradients = np.concatenate([each.gradients["logits"] for each in answers])
    np.testing.assert_allclose(rows, whole.rows, rtol=1e-6)
    np.testing.assert_allclose(gradients, whole.gradients["logits"], rtol=1e-5, atol=1e-7)
    summary = stream.summary
    assert summary.sum == pytest.approx(whole.sum, rel=1e-6) and summary.count == ROWS
    assert summary.denominator == pytest.approx(whole.denominator, rel=1e-6)
    assert summary.value == summary.sum / summary.denominator
    assert summary.batches == len(answers) and not summary.warnings
    assert summary.params == whole.params and summary.loss == "cross_entropy"


SMOOTH = {
    case.spec.name: case
    for case in CASES
    if case.source.startswith("smooth") and case.spec.coupling == "independent"
}


# A stream does not look at the loss: half of them go one way, and half the other.
ONE_WAY = [(case, bool(i % 2)) for i, case in enumerate(SMOOTH.values())]


@pytest.mark.parametrize(("case", "windowed"), ONE_WAY, ids=SMOOTH)
def test_every_loss_of_rows_can_be_streamed(client: Client, case: Case, windowed: bool) -> None:
    tensors = {name: x.numpy() for name, x in message_of(case).tensors.items()}
    shared = {k: x for k, x in tensors.items() if case.spec.inputs[k].scope == "shared"}
    columns = {k: x for k, x in tensors.items() if k not in shared}
    rows = len(next(iter(columns.values())))
    given = ({k: x[i : i + 2] for k, x in columns.items()} for i in range(0, rows, 2))
    params = case.params.model_dump(mode="json")
    stream = client.stream(
        case.spec.name, given, params=params, outputs=["gradients"], inputs=shared,
        windowed=windowed,
    )  # fmt: skip
    want, answers = served(call_of(case, reduction="sum")), list(stream)
    assert want.rows is not None
    assert np.array_equal(np.concatenate([each.rows for each in answers]), want.rows)
    for name in want.gradients.keys() - shared.keys():  # what belongs to no row has none
        gradient = want.gradients[name]
        got = np.concatenate([each.gradients[name] for each in answers])
        assert np.array_equal(got, gradient)
    assert stream.summary.sum == pytest.approx(want.sum)
    assert stream.summary.denominator == pytest.approx(want.denominator)


@BOTH_WAYS
def test_batches_without_rows_are_left_out(client: Client, windowed: bool) -> None:
    given = [part(0, 0), part(0, 2), part(2, 2), part(2, 5), part(5, 5)]
    stream = client.stream("cross_entropy", given, windowed=windowed)
    assert [(each.number, len(each)) for each in stream] == [(1, 2), (3, 3)]
    assert stream.summary.count == 5 and stream.summary.batches == 2


@BOTH_WAYS
@pytest.mark.parametrize("source", ["reader", "dict", "file"])
def test_no_rows_are_answered_by_one_batch_that_shows_the_columns(
    client: Client, windowed: bool, source: str, tmp_path: Path
) -> None:
    table = pa.Table.from_batches([], record_batch(0, 1).schema)
    pq.write_table(table, tmp_path / "x.parquet")
    given = {"reader": table.to_reader(), "dict": part(0, 0), "file": tmp_path / "x.parquet"}
    outputs = ["gradients"]
    stream = client.stream("cross_entropy", given[source], outputs=outputs, windowed=windowed)
    (only,) = stream
    assert only.record_batch.schema.names == ["id", "rows", "gradients.logits"]
    assert only.rows.shape == (0,) and only.gradients["logits"].shape == (0, CLASSES)
    assert stream.summary.value is None and stream.summary.count == 0
    assert [each.code for each in stream.summary.warnings] == ["zero_denominator"]


@BOTH_WAYS
def test_no_batches_at_all_are_a_mistake(client: Client, windowed: bool) -> None:
    with pytest.raises(ValueError, match="no batches"):
        list(client.stream("cross_entropy", [], windowed=windowed))


@BOTH_WAYS
def test_one_row_may_be_larger_than_a_batch_should_be(client: Client, windowed: bool) -> None:
    wide = np.random.default_rng(0).standard_normal((3, 20_000), np.float32)
    given = {"logits": wide, "labels": np.array([0, 1, 2])}
    stream = client.stream("cross_entropy", given, most_batch_bytes=10_000, windowed=windowed)
    assert [(each.first_row, len(each)) for each in stream] == [(0, 1), (1, 1), (2, 1)]


@BOTH_WAYS
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", None])
def test_totals_are_those_of_the_reduction(
    client: Client, windowed: bool, reduction: str | None
) -> None:
    inputs = {"logits": LOGITS, "labels": LABELS}
    want = client.compute("cross_entropy", inputs=inputs, reduction=reduction)
    given = (part(a, a + 100) for a in range(0, ROWS, 100))
    summary = client.stream(
        "cross_entropy", given, reduction=reduction, windowed=windowed
    ).read_to_end()
    assert summary.value == (None if want.value is None else pytest.approx(want.value))
    with pytest.raises(BadOption):
        list(client.stream("cross_entropy", part(0, 9), reduction="middle", windowed=windowed))


@BOTH_WAYS
@pytest.mark.parametrize(("first", "codes"), [(0.0, ["zero_denominator"]), (1.0, [])])
def test_what_counts_for_nothing_is_told_of_the_whole_alone(
    client: Client, windowed: bool, first: float, codes: list[str]
) -> None:
    given = [part(0, 2) | {"row_weights": [x, x]} for x in (first, 0.0)]
    summary = client.stream("cross_entropy", given, windowed=windowed).read_to_end()
    assert [each.code for each in summary.warnings] == codes
    assert (summary.value is None) == bool(codes)


@BOTH_WAYS
def test_a_sum_that_is_not_finite_is_told(client: Client, windowed: bool) -> None:
    given = [{"prediction": [x], "target": [0.0]} for x in (1.0, float("inf"), 2.0)]
    stream = client.stream("mse", given, nonfinite="propagate", windowed=windowed)
    summary = stream.read_to_end()
    assert summary.value == summary.sum == float("inf")
    assert [each.code for each in summary.warnings] == ["nonfinite_value"]


@BOTH_WAYS
def test_other_forms_of_gradients_come_by_their_names(client: Client, windowed: bool) -> None:
    def first(form: str, **more: Any) -> Any:
        given = (part(a, a + 5) for a in (0, 5))
        stream = client.stream(
            "cross_entropy", given, outputs=["gradients"], gradient_form=form, windowed=windowed,
            **more,
        )  # fmt: skip
        batch = next(stream)
        assert not batch.gradients and stream.read_to_end().count == 10
        return batch, stream.summary

    assert first("row_norms")[0].row_norms["logits"].shape == (5,)
    top_k, _ = first("top_k", gradient_top_k=2)
    assert top_k.top_k_indices["logits"].shape == top_k.top_k_values["logits"].shape == (5, 2)
    recipe, summary = first("recipe")
    assert recipe["gradient_recipe_factor.logits"].shape == (5,)
    assert summary.recipe["targets"] == "labels"


@BOTH_WAYS
def test_columns_that_are_no_inputs_come_back_as_they_were(client: Client, windowed: bool) -> None:
    more = {
        "name": ["one", None],
        "when": np.array(["2026-01-01", "NaT"], "datetime64[s]"),
        "flag": np.array([True, False]),
        "number": pa.array([1, None]),
        "box": np.arange(12, dtype=np.int16).reshape(2, 2, 3),
        "tags": [["a"], []],
        "ragged": pa.chunked_array([[[1]], [[2, 3]]]),
        "exact": [0.1, 1e300],
    }
    (batch,) = client.stream("cross_entropy", [part(0, 2) | more], windowed=windowed)
    assert batch["name"].tolist() == ["one", None] and batch["flag"].dtype == bool
    assert np.isnat(batch["when"]).tolist() == [False, True]
    assert np.isnan(batch["number"][1]) and batch["exact"].tolist() == [0.1, 1e300]
    assert np.array_equal(batch["box"], more["box"]) and batch["box"].dtype == np.int16
    assert [list(each) for each in batch["ragged"]] == [[1], [2, 3]]
    assert batch.record_batch.column("tags").to_pylist() == [["a"], []]
    with pytest.raises(KeyError):
        batch["logits"]


def test_the_callers_memory_is_its_own_again_once_the_next_batch_is_asked_for(
    client: Client, whole: Any
) -> None:
    def reusing() -> Iterator[dict[str, Any]]:
        logits, labels = np.empty((100, CLASSES), np.float32), np.empty(100, np.int64)
        for a in range(0, ROWS, 100):
            logits[:], labels[:] = LOGITS[a : a + 100], LABELS[a : a + 100]
            yield {"logits": logits, "labels": labels}

    stream = client.stream("cross_entropy", reusing(), class_weights=WEIGHTS, ahead=5)
    rows = np.concatenate([each.rows for each in stream])
    np.testing.assert_allclose(rows, whole.rows, rtol=1e-6)


@BOTH_WAYS
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_batches_are_asked_for_no_further_than_ahead(
    client: Client, windowed: bool, ahead: int
) -> None:
    asked: list[int] = []

    def counted() -> Iterator[dict[str, Any]]:
        for a in range(0, 200, 10):
            asked.append(a)
            yield part(a, a + 10)

    stream = client.stream("cross_entropy", counted(), ahead=ahead, windowed=windowed)
    assert not asked
    for i, _ in enumerate(stream, start=1):
        assert len(asked) == min(i + ahead - 1, 20)


def open_sockets() -> int:
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found += os.readlink(each).startswith("socket:")
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def app() -> FastAPI:
    return create_app(Settings(threads=1))


@pytest.fixture
def own_client(app: FastAPI) -> Iterator[Client]:
    """A client of a service whose admission is `app.state.admission`."""
    with running(app.state.settings, app) as url, Client(url) as made:
        yield made


def forever() -> Iterator[dict[str, Any]]:
    while True:
        yield part(0, ROWS)


@pytest.mark.parametrize("how", ["break", "close", "with", "forget"])
def test_who_stops_reading_leaves_nothing_behind(
    app: FastAPI, own_client: Client, how: str
) -> None:
    sockets, threads = open_sockets(), threading.active_count()
    stream: Stream | None = own_client.stream("cross_entropy", forever(), outputs=["gradients"])
    assert stream is not None
    next(stream)
    assert app.state.admission.requests == 1
    if how == "break":
        del stream
        for _ in own_client.stream("cross_entropy", forever()):
            break
    elif how == "close":
        stream.close()
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream:
            next(stream)
    else:
        stream = None
    admission = app.state.admission
    assert wait_for(lambda: admission.requests == 0) and admission.held_bytes == 0
    assert wait_for(lambda: open_sockets() <= sockets)
    assert threading.active_count() <= threads + 3  # the service's own lanes
    if how in ("close", "with"):
        assert stream is not None
        with pytest.raises(RuntimeError, match="not read to its end"):
            _ = stream.summary


class Broken(Exception):
    pass


@BOTH_WAYS
@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_error_of_the_callers_own_iterator_is_the_callers(
    app: FastAPI, own_client: Client, windowed: bool, after: int
) -> None:
    def breaking() -> Iterator[dict[str, Any]]:
        for _ in range(after):
            yield part(0, ROWS)
        raise Broken("no more")

    stream = own_client.stream("cross_entropy", breaking(), windowed=windowed)
    with pytest.raises(Broken, match="no more"):
        list(stream)
    assert wait_for(lambda: app.state.admission.requests == 0)
    with pytest.raises(RuntimeError):
        _ = stream.summary
    assert own_client.stream("cross_entropy", [part(0, 5)]).read_to_end().count == 5


WRONG = [
    ("label", part(0, 9) | {"labels": np.array([0] * 8 + [99])}, OutOfRange, "labels", [[8]]),
    ("null", part(0, 9) | {"labels": pa.array([0] * 7 + [None, 1])}, OutOfRange, "labels", [[7]]),
    ("infinity", part(0, 9) | {"logits": np.full((9, CLASSES), np.inf, np.float32)},
     LossdError, "logits", [[0, k] for k in range(7)] + [[1, k] for k in range(3)]),
]  # fmt: skip


@BOTH_WAYS
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("most_batch_bytes", [1, 100, 1 << 22])
@pytest.mark.parametrize(
    ("wrong", "kind", "column", "indices"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_an_error_names_the_callers_batch_and_the_row_in_it(
    client: Client, wrong: Any, kind: type[LossdError], column: str, indices: Any,
    before: int, most_batch_bytes: int, windowed: bool,
) -> None:  # fmt: skip
    given = [*[part(0, 5)] * before, part(0, 0), wrong]
    stream = client.stream(
        "cross_entropy", given, most_batch_bytes=most_batch_bytes, windowed=windowed
    )
    with pytest.raises(kind) as caught:
        list(stream)
    err = caught.value
    assert err.at == f"batches[{before + 1}].{column}" and err.request_id
    got = err.indices or []
    assert got == indices[: len(got)] and (got == indices or most_batch_bytes < 1000)
    assert f"batches[{before + 1}]" in str(err) and err.status == 422


@BOTH_WAYS
def test_a_refusal_of_the_whole_is_told_at_once(client: Client, windowed: bool) -> None:
    def refused(loss: str, given: Any, **options: Any) -> list[Any]:
        return list(client.stream(loss, given, windowed=windowed, **options))

    with pytest.raises(UnknownLoss, match="did you mean 'cross_entropy'"):
        refused("cros_entropy", forever())
    with pytest.raises(BadOption, match="cannot be streamed"):
        refused("l2_penalty", [{"x": [1]}], weights={"a": [1.0], "b": [2.0]})
    with pytest.raises(MissingInput):
        refused("cross_entropy", [{"logits": LOGITS}])
    with pytest.raises(BadOption, match="wrt"):
        refused("cross_entropy", [part(0, 5)], outputs=["gradients"], wrt=["labels"])


def test_a_service_that_is_full_says_so() -> None:
    waits: list[float] = []
    with (
        running(Settings(max_queue=1, threads=1)) as url,
        Client(url, sleep=waits.append, retry=Retry(times=2)) as client,
        client.stream("cross_entropy", forever()) as first,
    ):
        next(first)
        for windowed in (False, True):
            with pytest.raises(Overloaded):
                list(client.stream("cross_entropy", forever(), windowed=windowed))
    assert len(waits) == 2  # what can be repeated is


def test_a_batch_over_the_limit_of_the_service_is_its_refusal() -> None:
    with running(Settings(max_stream_batch_bytes=10_000)) as url, Client(url) as client:
        for windowed in (False, True):
            with pytest.raises(TooLarge, match="LOSSD_MAX_STREAM_BATCH_BYTES"):
                list(client.stream("cross_entropy", forever(), windowed=windowed))
        fits = client.stream("cross_entropy", [part(0, ROWS)], most_batch_bytes=5_000)
        assert fits.read_to_end().count == ROWS


@contextmanager
def a_service() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in a process of its own, and its address."""
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "service"), "LOSSD_LOG_LEVEL": "error"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with Client(url, retry=Retry(times=50)) as client:
                assert client.is_ready() or wait_for(client.is_ready)
            yield process, url
        finally:
            process.kill()


@BOTH_WAYS
def test_a_service_that_dies_is_a_connection_that_failed(windowed: bool) -> None:
    with a_service() as (process, url), Client(url, retry=Retry(times=0)) as client:
        sockets = open_sockets()
        stream = client.stream("cross_entropy", forever(), windowed=windowed)
        next(stream)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(ConnectionFailed):
            list(stream)
        assert open_sockets() <= sockets
        with pytest.raises(ConnectionFailed, match="cannot be reached"):
            list(client.stream("cross_entropy", forever(), windowed=windowed))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_slow_reader_holds_everything_up_and_memory_stays(own_client: Client) -> None:
    big = {"logits": np.zeros((50_000, 10), np.float32), "labels": np.zeros(50_000, np.int64)}
    made = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal made
        while made < 100:
            made += 1
            yield big

    stream = own_client.stream("cross_entropy", endless(), outputs=["gradients"])
    next(stream)
    before = resident_bytes()
    time.sleep(0.5)
    assert made == 2
    most = max(resident_bytes() for _ in stream)  # 240 MB go, and as much comes
    assert made == 100 and most - before < 150 << 20


def test_a_transport_that_cannot_read_while_it_writes_is_windowed(url: str) -> None:
    with httpx.HTTPTransport() as own, Client(url, transport=own) as client:
        assert client.stream("cross_entropy", [part(0, 5)]).read_to_end().count == 5
        with pytest.raises(ValueError, match="windowed=True"):
            client.stream("cross_entropy", [part(0, 5)], windowed=False)
    with Client(url, transport=SocketTransport()) as client:
        stream = client.stream("cross_entropy", [part(0, 5)], windowed=False)
        assert stream.read_to_end().count == 5


def test_behind_a_proxy_of_the_environment_it_is_windowed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with Client(url) as client, pytest.raises(ValueError, match="proxies"):
        client.stream("cross_entropy", [part(0, 5)], windowed=False)


def test_headers_of_the_client_go_with_a_stream(url: str) -> None:
    with Client(url, headers={"x-request-id": "mine"}) as client:
        with pytest.raises(OutOfRange) as caught:
            list(client.stream("cross_entropy", [part(0, 5), WRONG[0][1]]))
        assert caught.value.request_id == "mine"


def test_connecting_is_tried_again() -> None:
    waits: list[float] = []
    patient = Client("http://127.0.0.1:9", sleep=waits.append, retry=Retry(times=3))
    with patient, pytest.raises(ConnectionFailed):
        list(patient.stream("cross_entropy", forever()))
    assert len(waits) == 3


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apache.arrow.stream\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer_without_summary() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record_batch(0, 2).schema) as writer:
        writer.write_batch(record_batch(0, 2))
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ConnectionFailed),
        (CHUNKED, ConnectionFailed),
        (CHUNKED + chunk(answer_without_summary()[:300]), ConnectionFailed),
        (CHUNKED + chunk(answer_without_summary()) + b"0\r\n\r\n", LossdError),
        (CHUNKED + chunk(b"\xff\xff\xff\xff\xff\xff\xff\x7f") + b"0\r\n\r\n", LossdError),
        (CHUNKED + chunk(b"not an Arrow stream at all") + b"0\r\n\r\n", LossdError),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", LossdError),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nhi", LossdError),
        (b"SSH-2.0\r\n", ConnectionFailed),
    ],
)
def test_what_is_no_answer_to_a_stream_is_an_error_of_the_sdk(
    answer: bytes, kind: type[LossdError]
) -> None:
    def serve(sock: Any) -> None:
        sock.recv(1 << 20)
        sock.sendall(answer)

    with serving(serve) as url, Client(url) as client, pytest.raises(kind):
        list(client.stream("cross_entropy", [part(0, 5)] * 3))


def test_silence_ends_a_stream_in_time_and_names_a_way_out() -> None:
    def say_nothing(sock: Any) -> None:
        while sock.recv(65536):
            pass

    in_time = pytest.raises(TimedOut, match="windowed=True")
    with serving(say_nothing) as url, Client(url, timeout_s=0.2) as client, in_time:
        list(client.stream("cross_entropy", forever()))


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "lossd.sock"
    command = [sys.executable, "-m", "lossd", "serve", "--port", "0", "--uds", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "service"), "LOSSD_LOG_LEVEL": "error"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            with Client(uds=str(path)) as client:
                assert wait_for(client.is_ready, timeout_s=60)
                given = (part(a, a + 100) for a in range(0, ROWS, 100))
                assert client.stream("cross_entropy", given).read_to_end().count == ROWS
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "batches: expected"),
        ([3], r"batches\[0\]: expected a RecordBatch"),
        ([part(0, 5), {"logits": LOGITS}], r"batches\[1\]: expected the columns id, logits"),
        ([record_batch(0, 5), record_batch(0, 5).drop_columns("id")], r"batches\[1\]: expected"),
        ([part(0, 5), part(0, 5) | {"logits": LOGITS[:5, :3]}], r"batches\[1\].logits: expected"),
        ([part(0, 5), part(0, 5) | {"id": ["a"] * 5}], r"batches\[1\].id"),
        ([part(0, 5) | {"labels": LABELS[:4]}], r"batches\[0\]: expected columns of one length"),
        ([part(0, 5) | {"labels": 3}], r"batches\[0\].labels: expected"),
        ([part(0, 5) | {"labels": np.array(3)}], r"batches\[0\].labels: expected rows"),
        ([part(0, 5) | {"logits": torch.zeros(5, 2, dtype=torch.bfloat16)}], "bfloat16"),
        ([part(0, 5) | {"id": np.zeros((5, 2), "datetime64[s]")}], r"batches\[0\].id"),
        ("nowhere.parquet", "nowhere"),
    ],
)
def test_what_is_no_batch_is_refused_by_its_place(client: Client, given: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError, OSError), match=says):
        list(client.stream("cross_entropy", given))


def test_columns_may_come_in_another_order(client: Client) -> None:
    turned = record_batch(5, 9).select(["labels", "id", "logits"])
    stream = client.stream("cross_entropy", [record_batch(0, 5), turned])
    assert [each["id"].tolist() for each in stream] == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("bad", [{"ahead": 0}, {"most_batch_bytes": 0}])
def test_limits_are_checked(client: Client, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=">= 1"):
        client.stream("cross_entropy", [], **bad)


def test_without_pyarrow_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from lossd_client import Client\n"
        "try:\n    Client().stream('mse', [])\n"
        "except ImportError as err:\n    assert 'lossd-client[arrow]' in str(err)\n"
        "else:\n    raise SystemExit('no error')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
