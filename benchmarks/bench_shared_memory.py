"""Value and gradient of cross-entropy by the SDK, over every way to a service on this machine.

The floor is eager torch in the caller's own process, with one thread, from the same numpy arrays to
a numpy gradient. The service is a process of its own, with one thread. Answers are compared first;
then the ways alternate. One JSON line per size and way: `to_eager` is the median of the ratios to
eager torch in the same round, `service_us` what the service says that its phases took. The inputs
of the way `memfd_in_place` were made by `Client.empty`, so they are never copied.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lossd_client import Client, Result, Retry

SIZES = ((64, 1000), (4096, 1000), (64, 32000))
ALTERNATIONS = 25
ROOT = Path(__file__).parents[1]
Call = Callable[[], tuple[float, NDArray[np.float32], Mapping[str, float]]]


@contextmanager
def service() -> Iterator[tuple[str, str]]:
    """`lossd serve` with shared memory; yields its URL and the path of its Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        settings = {
            "LOSSD_SHARED_MEMORY": "1",
            "LOSSD_DEVICE": "cpu",
            "LOSSD_THREADS": "1",
            "LOSSD_LOG_LEVEL": "warning",
            "PYTHONPATH": str(ROOT / "service"),
        }
        command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0", "--uds", path]
        with subprocess.Popen(
            command, env=os.environ | settings, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().split()[-1]
                with Client(url, retry=Retry(times=20, most_wait_s=1.0)) as client:
                    while not client.is_ready():
                        time.sleep(0.1)
                yield url, path
            finally:
                process.terminate()


def eager(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Call:
    targets = torch.from_numpy(labels)

    def call() -> tuple[float, NDArray[np.float32], Mapping[str, float]]:
        leaf = torch.from_numpy(logits).requires_grad_()
        value = torch.nn.functional.cross_entropy(leaf, targets)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), gradient.numpy(), {}

    return call


def by(client: Client, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Call:
    def call() -> tuple[float, NDArray[np.float32], Mapping[str, float]]:
        result: Result = client.compute("cross_entropy", logits=logits, labels=labels)
        assert result.value is not None
        return result.value, result.gradients["logits"], result.seconds

    return call


def ways(
    stack: ExitStack, url: str, path: str, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, Call]:
    """Every way by its name; the clients end with the stack."""
    clients = {
        "tcp": Client(url),
        "unix": Client(uds=path),
        "dev_shm": Client(uds=path, shared_memory="shm"),
        "memfd": Client(uds=path, shared_memory="memfd"),
        "memfd_in_place": Client(uds=path, shared_memory="memfd"),
    }
    for client in clients.values():
        stack.enter_context(client)
    own = clients["memfd_in_place"].empty(logits.shape)
    own[:] = logits
    inputs = {name: own if name == "memfd_in_place" else logits for name in clients}
    found = {name: by(client, inputs[name], labels) for name, client in clients.items()}
    return {"eager": eager(logits, labels), **found}


def check(calls: Mapping[str, Call]) -> None:
    """Compare every answer with eager torch's."""
    value, gradient, _ = calls["eager"]()
    for name, call in calls.items():
        for _ in range(3):  # the first calls make connections and regions
            got = call()
        assert abs(got[0] - value) <= 1e-5 * abs(value), name
        np.testing.assert_allclose(got[1], gradient, rtol=1e-4, atol=1e-9, err_msg=name)


def measure(calls: Mapping[str, Call]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Microseconds of every round, for the caller and by the service's own account."""
    took_us: dict[str, list[float]] = {name: [] for name in calls}
    service_us: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ALTERNATIONS):
        for name, call in calls.items():
            started_s = time.perf_counter()
            answer = call()
            took_us[name].append(1e6 * (time.perf_counter() - started_s))
            service_us[name].append(1e6 * sum(answer[2].values()))
    return took_us, service_us


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    with service() as (url, path):
        for rows, classes in SIZES:
            logits = random.normal(size=(rows, classes)).astype(np.float32)
            labels = random.integers(0, classes, rows)
            with ExitStack() as stack:
                calls = ways(stack, url, path, logits, labels)
                check(calls)
                took_us, service_us = measure(calls)
            for name, rounds_us in took_us.items():
                pairs = zip(rounds_us, took_us["eager"], strict=True)
                line = {
                    "bench": "shared_memory",
                    "way": name,
                    "rows": rows,
                    "classes": classes,
                    "p50_us": round(statistics.median(rounds_us), 1),
                    "to_eager": round(statistics.median(mine / floor for mine, floor in pairs), 2),
                    "service_us": round(statistics.median(service_us[name]), 1),
                    "rounds": ALTERNATIONS,
                    "torch": torch.__version__,
                    "machine": platform.machine(),
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
