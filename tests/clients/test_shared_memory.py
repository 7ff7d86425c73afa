"""The Python SDK through shared memory: the same answers, and nothing left behind."""

import asyncio
import gc
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from case_requests import CASES, message_of
from conftest import running
from lossd.settings import Settings
from lossd.store import _keys
from lossd_client import (
    AsyncClient,
    BadRequest,
    Client,
    LossdError,
    Result,
    Retry,
    SocketTransport,
    TimedOut,
    UnknownLoss,
)
from service_processes import ROOT, children, mapped, served
from socket_servers import read_request, serving

KINDS = ("memfd", "shm")
N, K = 256, 1000
LOGITS = np.random.default_rng(0).normal(size=(N, K)).astype(np.float32)
LABELS = np.arange(N) % K
REGIONS = "/v2/systemsharedmemory"
PREFIX = f"lossd-{os.getpid()}"  # other tests may run on this machine


@pytest.fixture(autouse=True)
def prefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSD_SHARED_MEMORY_PREFIX", PREFIX)


def files() -> list[Path]:
    return list(Path("/dev/shm").glob(f"{PREFIX}-*"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(Settings(shared_memory=True, threads=1)) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    """Of a service that knows no regions yet."""
    with httpx.Client(base_url=url, timeout=30) as client:
        client.post(f"{REGIONS}/unregister")
        yield client


def registered(http: httpx.Client) -> list[str]:
    return [each["key"] for each in http.get(f"{REGIONS}/status").json()]


def compute(client: Client, logits: Any = LOGITS) -> Result:
    return client.compute("cross_entropy", logits=logits, labels=LABELS)


@pytest.fixture(scope="module")
def expected(url: str) -> Result:
    with Client(url) as client:
        return compute(client)


def assert_same(got: Result, want: Result) -> None:
    for name in ("loss", "version", "denominator", "count", "params", "warnings"):
        assert getattr(got, name) == getattr(want, name)
    np.testing.assert_equal((got.value, got.sum), (want.value, want.sum))
    for name in ("gradients", "row_norms", "top_k_indices", "top_k_values"):
        assert_same_arrays(getattr(got, name), getattr(want, name))
    assert_same_arrays(got.rows, want.rows)


def assert_same_arrays(got: Any, want: Any) -> None:
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        for key in want:
            assert_same_arrays(got[key], want[key])
    elif want is None:
        assert got is None
    else:
        assert got.dtype == want.dtype and got.shape == want.shape and got.flags.writeable
        assert got.tobytes() == want.tobytes()


# The way does not look at the loss: each loss goes one way, and each way has its share of them.
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
WAYS = [(kind, dtype) for kind in KINDS for dtype in DTYPES]
FIRST = [
    case for _, group in groupby(CASES, lambda case: case.spec.name) for case in list(group)[:2]
]


@pytest.mark.parametrize(("kind", "dtype"), WAYS)
def test_every_loss_answers_the_same_bits(url: str, kind: Any, dtype: torch.dtype) -> None:
    shared = Client(url, shared_memory=kind, shared_memory_least_bytes=1)
    with Client(url) as plain, shared:
        for case in FIRST[WAYS.index((kind, dtype)) :: len(WAYS)]:
            tensors = dict(message_of(case, dtype).tensors)
            params = case.params.model_dump(mode="json")
            more = {"params": params, "outputs": ["value", "rows", "gradients"], "inputs": tensors}
            try:
                want = plain.compute(case.spec.name, **more)
            except BadRequest as err:
                with pytest.raises(type(err)) as caught:
                    shared.compute(case.spec.name, **more)
                assert (caught.value.at, caught.value.detail) == (err.at, err.detail)
            else:
                assert_same(shared.compute(case.spec.name, **more), want)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more",
    [
        {"outputs": ["value"]},
        {"outputs": ["rows"]},
        {"wrt": []},
        {"reduction": "none", "outputs": ["rows", "gradients"]},
        {"gradient_dtype": "float64"},
        {"gradient_dtype": "bfloat16"},
        {"gradient_form": "row_norms"},
        {"gradient_form": "top_k", "gradient_top_k": 3},
        {"gradient_form": "recipe"},
        {"row_weights": np.linspace(0, 1, N)},
        {"cotangent": np.linspace(-1, 1, N).astype(np.float32)},
        {"params": {"ignore_index": 0}, "row_weights": np.zeros(N)},
    ],
    ids=str,
)
def test_every_option_means_the_same(url: str, kind: Any, more: dict[str, Any]) -> None:
    shared = Client(url, shared_memory=kind, shared_memory_least_bytes=1)
    with Client(url) as plain, shared:
        call = {"logits": LOGITS, "labels": LABELS, **more}
        assert_same(shared.compute("cross_entropy", **call), plain.compute("cross_entropy", **call))


def test_mistakes_are_the_same_errors(url: str) -> None:
    with Client(url) as plain, Client(url, shared_memory=True) as shared:
        for loss, more in (
            ("cross_entropy", {"labels": np.full(N, K)}),
            ("cross_entropy", {"labels": LABELS, "wrt": ["labels"]}),
            ("cross_entropy", {"labels": LABELS, "gradient_dtype": "float7"}),
            ("cross_entropy", {"labels": LABELS, "params": {"label_smoothing": 2}}),
            ("cross_entropy", {}),
            ("no_such_loss", {}),
        ):
            errors = []
            for client in (plain, shared):
                with pytest.raises((BadRequest, UnknownLoss)) as caught:
                    client.compute(loss, logits=LOGITS, **more)
                errors.append(caught.value)
            assert type(errors[0]) is type(errors[1])
            one, other = (
                (e.code, e.status, e.at, e.detail, e.expected, e.got, e.indices) for e in errors
            )
            assert one == other


def test_small_tensors_use_no_shared_memory(url: str, http: httpx.Client) -> None:
    with Client(url, shared_memory=True) as client:
        client.compute("cross_entropy", logits=LOGITS[:4], labels=LABELS[:4])
        assert registered(http) == []
        compute(client)
        assert len(registered(http)) == 2  # one for the logits, one for their gradient


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_stay_good_however_many_calls_follow(
    url: str, http: httpx.Client, expected: Result, kind: Any
) -> None:
    with Client(url, shared_memory=kind) as client:
        kept = [compute(client, LOGITS * scale).gradients["logits"] for scale in (1, 2, 3)]
        copies = [each.copy() for each in kept]
        part = kept[0][10:20]
        del kept[0]
        for _ in range(10):
            compute(client, -LOGITS)
        for got, want in zip([part, *kept], [copies[0][10:20], *copies[1:]], strict=True):
            np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(copies[0], expected.gradients["logits"])
        assert len(registered(http)) == 5  # the logits', three that are kept, and the latest


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_outlive_the_client_and_then_nothing_is_left(
    url: str, http: httpx.Client, expected: Result, kind: Any
) -> None:
    client = Client(url, shared_memory=kind)
    gradient = compute(client).gradients["logits"]
    mine = client.empty((N, K))
    assert len(registered(http)) == 2
    client.close()
    client.close()
    np.testing.assert_array_equal(gradient, expected.gradients["logits"])
    mine[:] = gradient
    gone = weakref.ref(gradient.base)
    while registered(http):
        time.sleep(0.05)  # the service sees by itself that nobody has the memory any more
    del gradient, mine
    gc.collect()
    assert gone() is None
    while mapped("self"):  # the service is in this process, and maps it a little longer
        gc.unfreeze()  # services that other tests started here froze what there was then
        gc.collect()
        time.sleep(0.05)
    assert not files()


def test_a_closed_client_gives_ordinary_memory(url: str) -> None:
    before = mapped("self")  # by the service, which is in this process, and lets go by and by
    client = Client(url, shared_memory=True)
    client.close()
    mine = client.empty((N, K))
    assert mine.flags.owndata and mapped("self") <= before


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_made_in_shared_memory_are_not_copied(
    url: str, http: httpx.Client, expected: Result, kind: Any
) -> None:
    with Client(url, shared_memory=kind) as client:
        logits = client.empty((2, N, K))
        logits[0], logits[1] = 0, LOGITS
        for same in (logits[1], torch.from_numpy(logits)[1], logits[1].view()):
            assert_same(compute(client, same), expected)
        assert len(registered(http)) == 2  # the array's, and the gradients'
        assert_same(compute(client, np.asfortranarray(logits[1])), expected)
        assert len(registered(http)) == 3
        gradient = compute(client).gradients["logits"]
        twice = client.compute("mse", prediction=gradient, target=gradient)
        assert twice.value == 0


def test_many_results_may_be_held_and_more_come_over_the_connection(
    url: str, http: httpx.Client, expected: Result
) -> None:
    with Client(url, shared_memory=True) as client:
        kept = [compute(client) for _ in range(70)]
        assert len(registered(http)) == 64
        for got in kept:
            assert_same(got, expected)
        del kept, got
        compute(client)
        assert client.empty((N, K), object).flags.owndata


def test_without_shared_memory_an_empty_array_is_ordinary(url: str) -> None:
    with Client(url) as client:
        assert client.empty((2, 3), "float64").shape == (2, 3)
        assert client.empty(4).dtype == np.float32


def test_many_threads_share_one_client(url: str, http: httpx.Client) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        own = np.random.default_rng(seed).normal(size=(N, K)).astype(np.float32)
        with Client(url) as plain:
            want = compute(plain, own)
        kept = [compute(client, own) for _ in range(8)]
        if any(got.gradients["logits"].tobytes() != want.gradients["logits"].tobytes()
               for got in kept):  # fmt: skip
            wrong.append(seed)

    with Client(url, shared_memory=True) as client:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong and len(registered(http)) >= 8


def test_asyncio_shares_memory_too(url: str, http: httpx.Client, expected: Result) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(url, shared_memory=True) as client:
            logits = client.empty((N, K))
            logits[:] = LOGITS
            calls = [
                client.compute("cross_entropy", logits=x, labels=LABELS) for x in (LOGITS, logits)
            ]
            for got in await asyncio.gather(*calls):
                assert_same(got, expected)
            assert len(registered(http)) == 4
            with pytest.raises(BadRequest):
                await client.compute("cross_entropy", logits=logits, labels=LABELS + K)

    asyncio.run(all_of_it())


@pytest.mark.parametrize("kind", [True, *KINDS])
def test_a_service_without_shared_memory_is_called_as_always(expected: Result, kind: Any) -> None:
    with running(Settings(threads=1)) as url, Client(url, shared_memory=kind) as client:
        logits = client.empty((N, K))
        logits[:] = LOGITS
        assert_same(compute(client), expected)
        assert_same(compute(client, logits), expected)


def test_memory_that_the_service_cannot_find_is_not_insisted_on(
    expected: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is for a service that sees other processes: in a container, or under another user.
    monkeypatch.setattr(_keys, "_memfd_device", lambda: None)
    with (
        running(Settings(shared_memory=True, threads=1)) as url,
        httpx.Client(base_url=url) as http,
        Client(url, shared_memory=True) as client,
    ):
        logits = client.empty((N, K))
        logits[:] = LOGITS
        assert_same(compute(client, logits), expected)
        assert [key[:7] for key in registered(http)] == ["/lossd-"] * 2


def test_a_prefix_that_the_service_does_not_take_is_no_error(
    url: str, http: httpx.Client, expected: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSD_SHARED_MEMORY_PREFIX", f"other-{os.getpid()}")
    with Client(url, shared_memory=True) as client:
        assert_same(compute(client), expected)
        assert registered(http) == []
    assert not list(Path("/dev/shm").glob(f"other-{os.getpid()}-*"))


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_is_no_room_the_connection_is_used(
    url: str, http: httpx.Client, expected: Result, kind: Any
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Client(url, shared_memory=kind) as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LOGITS.nbytes // 2, hard))
        try:
            assert_same(compute(client), expected)
            client.empty((N, K))[:] = 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert registered(http) == [] and not files()
        assert_same(compute(client), expected)
        assert len(registered(http)) == 2


def test_a_service_that_takes_no_more_regions_is_called_as_always(expected: Result) -> None:
    settings = Settings(shared_memory=True, threads=1, max_regions=1)
    with running(settings) as url, Client(url, shared_memory=True) as client:
        for _ in range(3):
            assert_same(compute(client), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_regions_that_were_forgotten_are_registered_again(
    url: str, http: httpx.Client, expected: Result, kind: Any
) -> None:
    with Client(url, shared_memory=kind) as client:
        logits = client.empty((N, K))
        logits[:] = LOGITS
        for _ in range(3):
            assert_same(compute(client, logits), expected)
            assert len(registered(http)) == 2
            http.post(f"{REGIONS}/unregister")


def test_a_service_that_was_started_anew_is_told_of_the_memory(
    tmp_path: Path, expected: Result
) -> None:
    path = str(tmp_path / "socket")
    settings = {"LOSSD_SHARED_MEMORY": "1", "LOSSD_THREADS": "1", "LOSSD_UDS": path}
    with Client(uds=path, shared_memory=True, retry=Retry(times=8)) as client:
        logits = client.empty((N, K))
        logits[:] = LOGITS
        kept = []
        for _ in range(2):
            with served(**settings) as (url, process), httpx.Client(base_url=url) as http:
                kept.append(compute(client, logits))
                assert len(registered(http)) == 2 and mapped(process.pid) == 2
        for got in kept:
            assert_same(got, expected)


def test_every_worker_sees_the_same_memory_and_drops_it_with_the_client(expected: Result) -> None:
    with served(LOSSD_SHARED_MEMORY="1", LOSSD_WORKERS="2", LOSSD_THREADS="1") as (url, process):
        workers = children(process.pid)
        transport = SocketTransport(most_idle=0)  # each request a connection: whoever takes it
        with Client(url, shared_memory=True, transport=transport) as client:
            logits = client.empty((N, K))
            logits[:] = LOGITS
            for _ in range(200):
                assert_same(compute(client, logits), expected)
                if all(mapped(pid) == 2 for pid in workers):
                    break
            assert [mapped(pid) for pid in workers] == [2, 2]
        while any(mapped(pid) for pid in workers):
            time.sleep(0.05)


CALLER = f"""
    import os, sys, numpy as np
    from lossd_client import Client

    logits = np.ones(({N}, {K}), np.float32)
    labels = np.zeros({N}, np.int64)
    client = Client(sys.argv[1], shared_memory=sys.argv[2])
    result = client.compute("cross_entropy", logits=logits, labels=labels)
    mine = client.empty(({N}, {K}))
    client.compute("cross_entropy", logits=mine, labels=labels, nonfinite="propagate")
"""


def caller(url: str, kind: str, more: str) -> "subprocess.Popen[str]":
    program = textwrap.dedent(CALLER) + textwrap.dedent(more)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src")}
    return subprocess.Popen(
        [sys.executable, "-c", program, url, kind],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_that_is_killed_leaves_nothing_behind(kind: str) -> None:
    with served(LOSSD_SHARED_MEMORY="1", LOSSD_THREADS="1") as (url, process):
        opened = len(os.listdir(f"/proc/{process.pid}/fd"))
        with httpx.Client(base_url=url) as http:
            for _ in range(2):
                with caller(
                    url, kind, "print('ready', flush=True); import time; time.sleep(60)"
                ) as c:
                    assert c.stdout is not None and c.stdout.readline() == "ready\n"
                    assert len(registered(http)) == 3
                    assert mapped(process.pid) == (3 if kind == "memfd" else 0)
                    os.kill(c.pid, signal.SIGKILL)
                while registered(http) or mapped(process.pid):
                    time.sleep(0.05)
                while files():
                    time.sleep(0.05)
        while len(os.listdir(f"/proc/{process.pid}/fd")) > opened + 1:
            time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_has_memory_of_its_own_and_its_arrays_stay_good(url: str, kind: str) -> None:
    more = """
        want = result.gradients["logits"].copy()
        known = {each.name for each in client._shared._pool._all}
        to_child, from_parent = os.pipe()
        child = os.fork()
        if not child:
            os.read(to_child, 1)
            assert (result.gradients["logits"] == want).all()
            other = client.compute("cross_entropy", logits=2 * logits, labels=labels + 1)
            assert (other.gradients["logits"][:, 1] < 0).all()
            assert not known & {each.name for each in client._shared._pool._all}
            mine[:] = 7
            del other, result
            client.close()
            os._exit(0)
        del result
        for _ in range(5):
            result = client.compute("cross_entropy", logits=3 * logits, labels=labels + 2)
            last = result.gradients["logits"].copy()
        os.write(from_parent, b"!")
        _, status = os.waitpid(child, 0)
        assert (result.gradients["logits"] == last).all() and (last[:, 2] < 0).all()
        assert (client.compute("cross_entropy", logits=logits, labels=labels)
            .gradients["logits"] == want).all()
        client.close()
        print("child", status)
    """
    with caller(url, kind, more) as process:
        assert process.communicate(timeout=60)[0] == "child 0\n" and process.returncode == 0


def oip_answer(request: bytes) -> bytes:
    """What a service would answer that knows one loss, whose gradient is whatever is there."""
    if request.startswith(b"GET /v2/models/"):
        body = json.dumps({"outputs": [{"name": "gradients.weights", "shape": [-1]}]}).encode()
    elif b"/register " in request:
        body = b""
    else:
        one = {"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}
        outputs: list[Any] = [{"name": name} | one for name in ("value", "sum", "denominator")]
        outputs += [{"name": "count", **one, "datatype": "INT64"}]
        outputs += [{"name": "gradients.weights", "datatype": "FP32", "shape": [N * K]}]
        header = json.dumps({"model_name": "l2_penalty", "model_version": "1", "outputs": outputs,
                             "parameters": {"params": "{}"}}).encode()  # fmt: skip
        body = header + bytes(32)
        return (b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n"
                b"\r\n" % (len(header), len(body)) + body)  # fmt: skip
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def answering(
    asked: list[str], calls: int, then: Callable[[socket.socket], None] | None = None
) -> Callable[[socket.socket], None]:
    """Answers so many calls, notes which region each wants its gradient in, and does what then."""

    def serve(sock: socket.socket) -> None:
        left = calls
        while (request := read_request_or_get(sock))[0]:
            if b"/infer " in request[0]:
                placed = re.findall(rb'"shared_memory_region": "([^"]+)"', request[1])
                asked.append(placed[-1].decode())
                if not left:
                    if then is not None:
                        then(sock)
                    return
                left -= 1
            sock.sendall(oip_answer(request[0]))

    return serve


def read_request_or_get(sock: socket.socket) -> tuple[bytes, bytes]:
    if sock.recv(3, socket.MSG_PEEK) != b"GET":
        return read_request(sock)
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        got += sock.recv(1)
    return got, b""


def test_memory_that_a_lost_call_may_still_write_into_is_not_used_again() -> None:
    asked: list[str] = []
    weights = np.ones(N * K, np.float32)
    done = threading.Event()
    late = answering(asked, 1, then=lambda _: done.wait())
    with serving(late, answering(asked, 2)) as url:
        client = Client(url, shared_memory=True, timeout_s=0.5, retry=Retry(times=0))
        with client:
            client.compute("l2_penalty", weights=weights)
            with pytest.raises(TimedOut):
                client.compute("l2_penalty", weights=weights)
            done.set()
            client.compute("l2_penalty", weights=weights)
            client.compute("l2_penalty", weights=weights)
    first, lost, second, third = asked
    assert first == lost and second == third != lost


def test_a_call_that_was_sent_twice_gives_gradients_of_its_own() -> None:
    asked: list[str] = []
    weights = np.ones(N * K, np.float32)
    with (
        serving(answering(asked, 1), answering(asked, 2)) as url,
        Client(url, shared_memory=True, retry=Retry(times=0)) as client,
    ):
        client.compute("l2_penalty", weights=weights)
        twice = client.compute("l2_penalty", weights=weights).gradients["weights"]
        assert isinstance(twice.base, np.ndarray) and twice.base.flags.owndata
        client.compute("l2_penalty", weights=weights)
    first, lost, again, after = asked
    assert first == lost == again != after


def test_an_answer_that_is_none_is_an_error_of_the_sdk() -> None:
    def nonsense(sock: socket.socket) -> None:
        while (request := read_request_or_get(sock))[0]:
            is_call = b"/infer " in request[0]
            none = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
            sock.sendall(none if is_call else oip_answer(request[0]))

    unreadable = pytest.raises(LossdError, match="not in a form")
    with serving(nonsense) as url, Client(url, shared_memory=True) as client, unreadable:
        client.compute("l2_penalty", weights=np.ones(N * K, np.float32))
