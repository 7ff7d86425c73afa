"""Several processes that listen at the same addresses, kept alive until told to stop."""

import multiprocessing
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from lossd.cli.listeners import listener_of_a_worker, share
from lossd.settings import Settings

Serve = Callable[[Settings, Sequence[socket.socket]], int]
_TOO_SOON_S = 30.0  # a worker that ends this early would end so again


def supervise(serve: Serve, settings: Settings, listeners: Sequence[socket.socket]) -> int:
    """Run `settings.workers` processes of `serve` until SIGINT or SIGTERM; returns an exit code.

    A worker that dies is replaced; one that dies while starting ends them all. `serve` must be a
    module's function, because workers import it anew.
    """
    own = settings.state_dir is None
    folder = Path(tempfile.mkdtemp(prefix="lossd-")) if own else settings.state_dir
    shared = settings.model_copy(update={"state_dir": folder})
    context = multiprocessing.get_context("spawn")
    for each in listeners:
        share(each)

    def start() -> SpawnProcess:
        worker = context.Process(target=_work, args=(serve, shared, list(listeners)))
        worker.start()
        return worker

    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    workers = {start(): time.monotonic() for _ in range(settings.workers)}
    try:
        return _keep_alive(workers, start, told_to_stop)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        if own:
            shutil.rmtree(shared.state_dir or "", ignore_errors=True)


def _keep_alive(
    workers: dict[SpawnProcess, float],
    start: Callable[[], SpawnProcess],
    told_to_stop: threading.Event,
) -> int:
    while not told_to_stop.is_set():
        wait([worker.sentinel for worker in workers], timeout=0.2)
        for worker in [each for each in workers if not each.is_alive()]:
            started_s = workers.pop(worker)
            if told_to_stop.is_set():
                break
            refused_to_start = (worker.exitcode or 0) > 0  # below 0 somebody killed it
            if refused_to_start and time.monotonic() - started_s < _TOO_SOON_S:
                print(f"lossd: a worker ended with {worker.exitcode}", file=sys.stderr)
                return worker.exitcode or 3
            workers[start()] = time.monotonic()
    return 0


def _work(serve: Serve, settings: Settings, listeners: Sequence[socket.socket]) -> None:
    sys.exit(serve(settings, [listener_of_a_worker(each) for each in listeners]))
