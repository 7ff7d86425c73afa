"""Several worker processes behind one address, and a Unix socket beside it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service_processes import ROOT, children, served

INPUTS = [
    {"name": "logits", "shape": [2, 2], "datatype": "FP32", "data": [2.0, 0.5, 0.1, 1.2]},
    {"name": "labels", "shape": [2], "datatype": "INT64", "data": [0, 1]},
]


def sockets_of(pid: int) -> int:
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


def on_every_worker(url: str, rounds: int = 24) -> Iterator[httpx.Client]:
    """Fresh connections, so that the kernel spreads them over the workers."""
    for _ in range(rounds):
        with httpx.Client(base_url=url, timeout=30) as http:
            yield http


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with served(
        "--workers", "2", LOSSD_SHARED_MEMORY="1", LOSSD_SHARED_MEMORY_PREFIX="lossd_workers"
    ) as both:
        yield both


def test_workers_answer_as_one(workers: tuple[str, Any], tmp_path: Path) -> None:
    url, process = workers
    assert len(children(process.pid)) == 2
    block = Path("/dev/shm/lossd_workers_one")
    block.write_bytes(np.float32([2.0, 0.5, 0.1, 1.2]).tobytes())
    try:
        with httpx.Client(base_url=url) as http:
            body = {"key": "/lossd_workers_one", "byte_size": 16}
            where = "/v2/systemsharedmemory/region/one/register"
            assert http.post(where, json=body).is_success
            assert http.post(where, json=body).status_code == 409
        place = {"shared_memory_region": "one", "shared_memory_byte_size": 16}
        shared = {"name": "logits", "shape": [2, 2], "datatype": "FP32", "parameters": place}
        answers: Counter[str] = Counter()
        for i, http in enumerate(on_every_worker(url)):
            got = http.post("/v2/models/cross_entropy/infer", json={"inputs": [shared, INPUTS[1]]})
            answers[got.text] += 1
            (stats,) = http.get("/v2/models/cross_entropy/stats").json()["model_stats"]
            assert stats["inference_stats"]["queue"]["count"] == i + 1
            assert len(http.get("/v2/systemsharedmemory/status").json()) == 1
        assert answers.total() == 24 and len(answers) == 1
    finally:
        block.unlink()


def test_a_worker_that_dies_is_replaced_and_its_counts_stay(workers: tuple[str, Any]) -> None:
    url, process = workers
    counts = "/v2/models/mse/stats"
    for http in on_every_worker(url, 6):
        data = {"shape": [1], "datatype": "FP32", "data": [1.0]}
        inputs = [{"name": name, **data} for name in ("prediction", "target")]
        assert http.post("/v2/models/mse/infer", json={"inputs": inputs}).is_success
    killed = min(children(process.pid))
    os.kill(killed, signal.SIGKILL)
    while killed in children(process.pid) or len(children(process.pid)) < 2:
        pass
    for http in on_every_worker(url, 6):
        (stats,) = http.get(counts).json()["model_stats"]
        assert stats["inference_stats"]["success"]["count"] == 6


def test_connections_are_dealt_out_and_the_address_is_taken(workers: tuple[str, Any]) -> None:
    url, process = workers
    dealt = [0]
    while min(dealt) < 8:  # one that was started anew does not listen yet
        before = {worker: sockets_of(worker) for worker in children(process.pid)}
        with ExitStack() as stack:
            for _ in range(64):
                http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
                assert http.get("/livez").is_success
            dealt = [sockets_of(worker) - count for worker, count in before.items()]
        assert len(dealt) == 2
    port = str(httpx.URL(url).port)
    command = [sys.executable, "-m", "lossd", "serve", "--port", port, "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": "service"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 3 and "cannot bind" in done.stderr


def test_no_worker_comes_up_and_the_command_says_so() -> None:
    command = [sys.executable, "-m", "lossd", "serve", "--port", "0", "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": "service", "LOSSD_DEVICE": "cuda:99"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "cuda:99" in done.stderr
