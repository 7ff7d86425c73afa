"""Shared memory whose owner does everything that it can to it."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from conftest import running
from lossd.settings import Settings

PREFIX = "lossd_test_shm"
SIZE = 1 << 20
REGION = "/v2/systemsharedmemory/region/r"
CALL = "/v2/models/l2_penalty/infer"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    settings = Settings(shared_memory=True, shared_memory_prefix=PREFIX, threads=1, max_regions=3)
    with running(settings) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def block() -> Iterator[Path]:
    path = Path(f"/dev/shm/{PREFIX}_block")
    path.write_bytes(np.ones(SIZE // 4, np.float32).tobytes())
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def registered(http: httpx.Client, block: Path) -> Iterator[Path]:
    assert http.post(f"{REGION}/register", json=key_of(block)).is_success
    yield block
    http.post("/v2/systemsharedmemory/unregister")


def key_of(path: Path, **more: Any) -> dict[str, Any]:
    return {"key": f"/{path.name}", "byte_size": SIZE} | more


def call(http: httpx.Client, offset: int = 0, size: int = SIZE, out: Any = None) -> httpx.Response:
    place = {"shared_memory_region": "r", "shared_memory_offset": offset,
             "shared_memory_byte_size": size}  # fmt: skip
    one = {"name": "weights", "shape": [size // 4], "datatype": "FP32", "parameters": place}
    outputs = [{"name": "sum"}, *([out] if out else [])]
    return http.post(CALL, json={"inputs": [one], "outputs": outputs})


def test_it_is_off_unless_wanted() -> None:
    with running(Settings(threads=1)) as url, httpx.Client(base_url=url) as http:
        body = {"key": f"/{PREFIX}_x", "byte_size": 4}
        refused = [http.post(f"{REGION}/register", json=body), call(http)]
        for got in refused:
            assert got.status_code == 403 and got.json()["code"] == "shared_memory_off"
            assert "LOSSD_SHARED_MEMORY" in got.json()["expected"]
        assert http.get("/v2/systemsharedmemory/status").json() == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"key": "/etc/passwd"}, 422),
        ({"key": "../shm/x"}, 422),
        ({"key": f"/{PREFIX}/../../etc/passwd"}, 422),
        ({"key": "/somebody_elses"}, 422),
        ({"key": ""}, 422),
        ({"key": f"/{PREFIX}_absent"}, 404),
        ({"byte_size": SIZE + 1}, 422),
        ({"offset": 1}, 422),
        ({"offset": -1}, 422),
        ({"byte_size": 0}, 422),
        ({"byte_size": 1 << 70}, 422),
        ({"key": 7}, 400),
    ],
    ids=str,
)
def test_only_what_is_there_and_allowed_can_be_registered(
    http: httpx.Client, block: Path, more: dict[str, Any], status: int
) -> None:
    got = http.post(f"{REGION}/register", json=key_of(block, **more))
    assert got.status_code == status and got.json()["error"]


def test_links_folders_and_pipes_are_no_regions(http: httpx.Client, block: Path) -> None:
    odd = Path(f"/dev/shm/{PREFIX}_odd")
    for make in (lambda: odd.symlink_to(block), odd.mkdir, lambda: os.mkfifo(odd)):
        make()
        try:
            assert http.post(f"{REGION}/register", json=key_of(odd)).status_code == 404
        finally:
            odd.rmdir() if odd.is_dir() and not odd.is_symlink() else odd.unlink()


def test_parts_beyond_the_region_are_refused(http: httpx.Client, registered: Path) -> None:
    assert call(http).json()["outputs"][0]["data"] == [SIZE / 4]
    assert call(http, offset=SIZE - 8, size=8).is_success
    for offset, size in ((4, SIZE), (-4, 8), (SIZE, 4), (1 << 62, 4)):
        got = call(http, offset, size)
        assert got.status_code == 422 and got.json()["code"] == "out_of_range"
    small = {"name": "gradients.weights", "parameters": {
        "shared_memory_region": "r", "shared_memory_byte_size": 4}}  # fmt: skip
    assert call(http, out=small).status_code == 400


def test_the_file_may_shrink_while_it_is_read(http: httpx.Client, registered: Path) -> None:
    stop = threading.Event()

    def shrink_and_grow() -> None:
        while not stop.is_set():
            os.truncate(registered, 100)
            os.truncate(registered, SIZE)

    out = {"name": "gradients.weights", "parameters": {
        "shared_memory_region": "r", "shared_memory_byte_size": SIZE}}  # fmt: skip
    thread = threading.Thread(target=shrink_and_grow)
    thread.start()
    try:
        answers = [call(http, out=out) for _ in range(300)]
    finally:
        stop.set()
        thread.join()
    assert {got.status_code for got in answers} <= {200, 422}
    os.truncate(registered, 100)
    got = call(http)
    assert got.status_code == 422 and "shorter" in got.json()["error"]
    assert http.get("/livez").is_success


def test_another_file_of_the_same_name_is_not_the_region(
    http: httpx.Client, registered: Path
) -> None:
    registered.unlink()
    assert call(http).status_code == 404
    registered.write_bytes(bytes(SIZE))
    assert call(http).status_code == 404
    assert http.post(f"{REGION}/unregister").is_success
    assert http.post(f"{REGION}/register", json=key_of(registered)).is_success
    assert call(http).is_success


def test_a_region_belongs_to_the_key_that_registered_it(
    http: httpx.Client, registered: Path
) -> None:
    for header in ({"Authorization": "Bearer other"}, {"X-API-Key": "other"}):
        with httpx.Client(base_url=http.base_url, headers=header) as other:
            assert call(other).status_code == 404
            assert other.get("/v2/systemsharedmemory/status").json() == []
            assert other.get(f"{REGION}/status").status_code == 404
            other.post("/v2/systemsharedmemory/unregister")
    assert call(http).is_success


def test_regions_of_callers_that_are_gone_make_room(http: httpx.Client, block: Path) -> None:
    for i in range(8):
        own = Path(f"/dev/shm/{PREFIX}_{i}")
        own.write_bytes(b"1234")
        where = f"/v2/systemsharedmemory/region/gone{i}/register"
        assert http.post(where, json={"key": own.name, "byte_size": 4}).is_success
        own.unlink()
    assert len(http.get("/v2/systemsharedmemory/status").json()) <= 3
    http.post("/v2/systemsharedmemory/unregister")
    kept = [Path(f"/dev/shm/{PREFIX}_kept{i}") for i in range(4)]
    try:
        for i, own in enumerate(kept):
            own.write_bytes(b"1234")
            where = f"/v2/systemsharedmemory/region/kept{i}/register"
            got = http.post(where, json={"key": own.name, "byte_size": 4})
            assert got.status_code == (200 if i < 3 else 413)
    finally:
        http.post("/v2/systemsharedmemory/unregister")
        for own in kept:
            own.unlink(missing_ok=True)


def test_nothing_stays_open_between_calls(http: httpx.Client, registered: Path) -> None:
    call(http)
    before = len(os.listdir("/proc/self/fd"))  # the service is in this process
    for _ in range(50):
        call(http)
        call(http, offset=SIZE)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
