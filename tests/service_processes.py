"""Services in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def served(*words: str, **settings: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`lossd serve` on a free port, ready; yields its URL and its process."""
    environment = os.environ | {"PYTHONPATH": "service", "LOSSD_LOG_LEVEL": "warning"}
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment | settings, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=30), timeout=30) as http:
                while http.get(f"{url}/readyz").status_code != 200:
                    pass
            yield url, process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def children(of: int) -> set[int]:
    """Worker processes; the interpreter's own resource tracker is none."""
    found = set()
    for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


def mapped(pid: int | str) -> int:
    """How many blocks of callers' shared memory a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return sum("/memfd:lossd-" in line or "/dev/shm/lossd-" in line for line in lines)
