"""Value and gradient of cross-entropy by the SDK, over every way to a service on this machine.

The floor is eager torch in the caller's own process, with one thread, from the same numpy arrays to
a numpy gradient. The service is a process of its own, with one thread. Answers are compared first;
then the ways alternate. One JSON line per size and way: `to_eager` is the median of the ratios to
eager torch in the same round, `service_us` what the service says that its phases took. The inputs
of the way `memfd_in_place` were made by `Client.empty`, so they are never copied. `tcp_recipe` gets
two numbers per row and makes the gradient of them. `socket_and_kernel` is what TCP cannot do
without: a plain socket moves the same bytes out and back, and the kernel computes; `to_socket` is
the ratio to it.
"""

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bench_transport import PlainSocket, echo_server
from lossd.engine.compute import compute
from lossd.engine.memory import Buffers
from lossd.schema import parse_call
from lossd.wire import Message
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


def socket_and_kernel(
    plain: PlainSocket, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> Call:
    inputs = {"logits": torch.from_numpy(logits), "labels": torch.from_numpy(labels)}
    loss, buffers = parse_call("cross_entropy", Message(inputs, {})), Buffers(1 << 28)

    def call() -> tuple[float, NDArray[np.float32], Mapping[str, float]]:
        plain.echo(memoryview(logits).cast("B"))
        result = compute(loss, torch.device("cpu"), buffers)
        assert result.value is not None
        return result.value, result.gradients["logits"].numpy(), {}

    return call


def by(
    client: Client, logits: NDArray[np.float32], labels: NDArray[np.int64], **options: Any
) -> Call:
    def call() -> tuple[float, NDArray[np.float32], Mapping[str, float]]:
        result: Result = client.compute("cross_entropy", logits=logits, labels=labels, **options)
        assert result.value is not None
        return result.value, result.gradients["logits"], result.seconds

    return call


def ways(
    stack: ExitStack,
    url: str,
    path: str,
    echo_port: int,
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> dict[str, Call]:
    """Every way by its name; the clients end with the stack."""
    echo = stack.enter_context(socket.create_connection(("127.0.0.1", echo_port)))
    echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    clients = {
        "tcp": Client(url),
        "tcp_recipe": Client(url),
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
    options = {"tcp_recipe": {"gradient_form": "recipe"}}
    found = {
        name: by(client, inputs[name], labels, **options.get(name, {}))
        for name, client in clients.items()
    }
    floor = socket_and_kernel(PlainSocket(echo), logits, labels)
    return {"eager": eager(logits, labels), "socket_and_kernel": floor, **found}


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
    with service() as (url, path), echo_server() as (echo_port, _):
        for rows, classes in SIZES:
            logits = random.normal(size=(rows, classes)).astype(np.float32)
            labels = random.integers(0, classes, rows)
            with ExitStack() as stack:
                calls = ways(stack, url, path, echo_port, logits, labels)
                check(calls)
                took_us, service_us = measure(calls)
            for name, rounds_us in took_us.items():
                floors = [
                    statistics.median(a / b for a, b in zip(rounds_us, took_us[way], strict=True))
                    for way in ("eager", "socket_and_kernel")
                ]
                line = {
                    "bench": "shared_memory",
                    "way": name,
                    "rows": rows,
                    "classes": classes,
                    "p50_us": round(statistics.median(rounds_us), 1),
                    "to_eager": round(floors[0], 2),
                    "to_socket": round(floors[1], 2),
                    "service_us": round(statistics.median(service_us[name]), 1),
                    "rounds": ALTERNATIONS,
                    "torch": torch.__version__,
                    "machine": platform.machine(),
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
