"""Memfds that callers register, and everything that they can do to them."""

import contextlib
import fcntl
import os
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from conftest import running
from lossd.settings import Settings

ROWS, CLASSES = 64, 512
SIZE = 1 << 18
LABELS_AT = GRADIENTS_AT = ROWS * CLASSES * 4
REGION = "/v2/systemsharedmemory/region/r"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with (
        running(Settings(shared_memory=True, threads=1)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def forgotten(http: httpx.Client) -> Iterator[None]:
    yield
    http.post("/v2/systemsharedmemory/unregister")


@contextlib.contextmanager
def memfd(
    seals: int = SEALS, name: str = "", size: int = SIZE, flags: int = 0
) -> Iterator[tuple[int, str]]:
    """A descriptor, and the name that it has."""
    name = name or f"lossd-{secrets.token_hex(16)}"
    file = os.memfd_create(name, os.MFD_ALLOW_SEALING | flags)
    try:
        os.ftruncate(file, size)
        if not flags:
            os.posix_fallocate(file, 0, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        yield file, name
    finally:
        os.close(file)


def key_of(file: int, name: str) -> str:
    return f"/memfd/{os.getpid()}/{file}/{name}"


def register(http: httpx.Client, key: str, size: int = SIZE) -> httpx.Response:
    return http.post(f"{REGION}/register", json={"key": key, "byte_size": size})


def fill(file: int) -> None:
    os.pwrite(file, np.zeros((ROWS, CLASSES), np.float32).tobytes(), 0)
    os.pwrite(file, np.zeros(ROWS, np.int64).tobytes(), LABELS_AT)


def place(offset: int, size: int) -> dict[str, Any]:
    return {"shared_memory_region": "r", "shared_memory_offset": offset,
            "shared_memory_byte_size": size}  # fmt: skip


def call(http: httpx.Client, outputs: Any = ({"name": "value"},)) -> httpx.Response:
    inputs = [
        {"name": "logits", "shape": [ROWS, CLASSES], "datatype": "FP32",
         "parameters": place(0, LABELS_AT)},
        {"name": "labels", "shape": [ROWS], "datatype": "INT64",
         "parameters": place(LABELS_AT, 8 * ROWS)},
    ]  # fmt: skip
    body = {"inputs": inputs, "outputs": list(outputs)}
    return http.post("/v2/models/cross_entropy/infer", json=body)


def test_a_sealed_memfd_cannot_be_cut_and_gradients_land_in_it(http: httpx.Client) -> None:
    with memfd() as (file, name):
        fill(file)
        assert register(http, key_of(file, name)).is_success
        gradient = {"name": "gradients.logits", "parameters": place(0, LABELS_AT)}
        got = call(http, [{"name": "value"}, gradient])
        assert got.json()["outputs"][0]["data"] == [pytest.approx(np.log(CLASSES))]
        found = np.frombuffer(os.pread(file, LABELS_AT, 0), np.float32).reshape(ROWS, CLASSES)
        np.testing.assert_allclose(found[:, 0], (1 / CLASSES - 1) / ROWS, rtol=1e-5)
        np.testing.assert_allclose(found[:, 1:], 1 / CLASSES / ROWS, rtol=1e-5)
        for size in (0, 4096, 2 * SIZE):
            with pytest.raises(PermissionError):
                os.ftruncate(file, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert call(http).is_success


@pytest.mark.parametrize(
    "change",
    [
        lambda file, name: f"/memfd/{os.getpid()}/{file}/lossd-{secrets.token_hex(16)}",
        lambda file, name: f"/memfd/{os.getpid()}/{file + 100}/{name}",
        lambda file, name: f"/memfd/4194303/{file}/{name}",
        lambda file, name: f"/memfd/{os.getpid()}/0/{name}",
    ],
    ids=["another name", "no descriptor", "no process", "no memfd"],
)
def test_a_key_that_does_not_name_that_memfd_finds_nothing(
    http: httpx.Client, change: Callable[[int, str], str]
) -> None:
    with memfd() as (file, name):
        got = register(http, change(file, name))
    assert got.status_code == 404 and got.json()["code"] == "unknown_region"
    assert got.json()["at"] == "key"


def test_another_process_does_not_have_that_memfd(http: httpx.Client) -> None:
    with memfd() as (file, name), subprocess.Popen(["sleep", "60"]) as other:
        got = register(http, f"/memfd/{other.pid}/{file}/{name}")
        other.kill()
    assert got.status_code == 404


@pytest.mark.parametrize(
    "key",
    [
        "/memfd/{pid}/{file}/other-" + "0" * 32,
        "/memfd/{pid}/{file}/lossd-guessable",
        "/memfd/self/{file}/{name}",
        "/memfd/0/{file}/{name}",
        "/memfd/-1/{file}/{name}",
        "/memfd/{pid}/../fd/{file}/{name}",
        "/memfd/{pid}/{file}/{name}/",
        "/memfd/{pid}/{file}/../{name}",
        "/memfd/{pid}/{file}/{name}\n",
        "/memfd/{pid}/{file}",
        "/proc/{pid}/fd/{file}",
        "memfd/{pid}/{file}/{name}",
    ],
)
def test_no_other_form_of_key_is_looked_at(http: httpx.Client, key: str) -> None:
    with memfd() as (file, name):
        got = register(http, key.format(pid=os.getpid(), file=file, name=name))
    assert got.status_code == 422 and got.json()["at"] == "key"


def test_a_file_that_is_called_like_a_memfd_is_none(http: httpx.Client) -> None:
    name = f"lossd-{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/memfd:{name}"
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, SIZE)
        os.unlink(path)
        assert os.readlink(f"/proc/self/fd/{file}").endswith(f"/memfd:{name} (deleted)")
        assert register(http, key_of(file, name)).status_code == 404
        os.close(file)


def test_huge_pages_that_nobody_reserved_are_not_touched(http: httpx.Client) -> None:
    with memfd(flags=os.MFD_HUGETLB, size=1 << 30) as (file, name):
        assert register(http, key_of(file, name)).status_code == 404


def test_a_pipe_under_the_descriptor_stops_nobody(http: httpx.Client) -> None:
    reading, writing = os.pipe()
    name = f"lossd-{secrets.token_hex(16)}"
    assert register(http, key_of(reading, name)).status_code == 404
    os.close(reading)
    os.close(writing)


def test_another_memfd_of_the_same_key_is_not_the_region(http: httpx.Client) -> None:
    with memfd(seals=0) as (file, name), memfd(seals=0, name=name) as (other, _):
        fill(file)
        fill(other)
        assert register(http, key_of(file, name)).is_success
        assert call(http).is_success
        os.dup2(other, file)
        got = call(http)
    assert got.status_code == 404 and "not the file that was registered" in got.json()["detail"]


def test_an_unsealed_memfd_may_be_cut_while_it_is_read(http: httpx.Client) -> None:
    with memfd(seals=0) as (file, name):
        assert register(http, key_of(file, name)).is_success
        with meanwhile(lambda: (os.ftruncate(file, 100), os.ftruncate(file, SIZE))):
            answers = [call(http) for _ in range(200)]
        assert {got.status_code for got in answers} <= {200, 422}
        os.ftruncate(file, 100)
        assert "shorter" in call(http).json()["detail"]
    assert http.get("/livez").is_success


@pytest.mark.parametrize("what", ["labels", "logits"])
def test_numbers_that_change_while_they_are_used_hurt_nobody(http: httpx.Client, what: str) -> None:
    good = np.zeros(ROWS, np.int64) if what == "labels" else np.zeros(ROWS * CLASSES, np.float32)
    bad = np.full_like(good, 1 << 40) if what == "labels" else np.full_like(good, np.nan)
    at = LABELS_AT if what == "labels" else 0
    with memfd() as (file, name):
        fill(file)
        assert register(http, key_of(file, name)).is_success
        with meanwhile(lambda: (os.pwrite(file, bad, at), os.pwrite(file, good, at))):
            answers = [call(http) for _ in range(300)]
        assert {got.status_code for got in answers} <= {200, 422}
        assert {got.json()["code"] for got in answers if got.status_code == 422} <= {
            "out_of_range",
            "not_finite",
        }
        assert call(http).is_success
        if what == "labels":  # whatever was answered was computed from labels that had been checked
            values = [got.json()["outputs"][0]["data"][0] for got in answers if got.is_success]
            assert set(values) == {values[0]} or not values


@contextlib.contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do something again and again in another thread until the block ends."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_closed_memfd_is_forgotten_by_itself(http: httpx.Client) -> None:
    with memfd() as (file, name):
        fill(file)
        assert register(http, key_of(file, name)).is_success and call(http).is_success
        assert len(http.get("/v2/systemsharedmemory/status").json()) == 1
    while http.get("/v2/systemsharedmemory/status").json():
        time.sleep(0.05)  # the test ends by its time limit
    assert call(http).status_code == 404


def test_nothing_is_mapped_where_that_is_not_wanted() -> None:
    settings = Settings(shared_memory=True, threads=1, max_mapped_bytes=0)
    with running(settings) as url, httpx.Client(base_url=url) as http, memfd() as (file, name):
        fill(file)
        assert register(http, key_of(file, name)).is_success
        gradient = {"name": "gradients.logits", "parameters": place(0, LABELS_AT)}
        assert call(http, [gradient]).is_success
        assert any(os.pread(file, LABELS_AT, 0))
        assert name not in Path("/proc/self/maps").read_text()
