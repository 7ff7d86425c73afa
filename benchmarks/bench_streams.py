"""A long stream through `lossd serve` on loopback: rows per second, and memory of both sides.

`--rows` (10 million) rows of 10 float32 logits and an int64 label are made batch by batch, and sent
by the SDK, with and without gradients and windowed. The first answer is compared with a whole call,
the totals with the rows that came. One JSON line per way. Growth is from before the first batch to
the peak: of the service VmHWM, of this process the resident size, sampled at each answer. It exits
with 1 if the service grew by `MOST_GROWTH_BYTES`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lossd_client import Client, Retry

CLASSES = 10
BATCH_ROWS = 65_536
MOST_GROWTH_BYTES = 200 * 1024**2
ROOT = Path(__file__).parents[1]
WAYS: dict[str, dict[str, Any]] = {
    "rows": {},
    "rows_and_gradients": {"outputs": ["gradients"]},
    "rows_windowed": {"windowed": True},
}


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    """A service in a process of its own; yields its URL and its process id."""
    command = [sys.executable, "-u", "-m", "lossd", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "service"), "LOSSD_LOG_LEVEL": "error"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()


def memory_bytes(pid: int | str, field: str) -> int:
    """A field of /proc/PID/status: VmRSS is the resident size, VmHWM its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def forget_peak(pid: int) -> None:
    """Set VmHWM to VmRSS."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def batches(rows: int) -> Iterator[dict[str, Any]]:
    """Fresh random numbers, a batch at a time."""
    random = np.random.default_rng(0)
    for start in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - start)
        logits = random.standard_normal((count, CLASSES), np.float32)
        yield {"logits": logits, "labels": random.integers(0, CLASSES, count)}


def check(client: Client) -> None:
    """The answer to one batch is that of a whole call. The service is warm afterwards."""
    one = next(batches(BATCH_ROWS))
    whole = client.compute("cross_entropy", **one, reduction="sum", outputs=["rows", "gradients"])
    for options in WAYS.values():
        (answer,) = client.stream("cross_entropy", [one], **options)
        np.testing.assert_allclose(answer.rows, whole.rows, rtol=1e-6)
        for name, gradient in answer.gradients.items():
            np.testing.assert_allclose(gradient, whole.gradients[name], rtol=1e-5, atol=1e-7)


def measure(client: Client, pid: int, rows: int, options: dict[str, Any]) -> dict[str, Any]:
    """One stream of so many rows."""
    forget_peak(pid)
    before = {side: memory_bytes(side, "VmRSS") for side in (pid, "self")}
    client_peak, total = before["self"], 0.0
    started_s = time.perf_counter()
    with client.stream("cross_entropy", batches(rows), **options) as stream:
        for answer in stream:
            total += float(answer.rows.sum(dtype=np.float64))
            client_peak = max(client_peak, memory_bytes("self", "VmRSS"))
    took_s = time.perf_counter() - started_s
    summary = stream.summary
    assert summary.count == rows and abs(summary.sum - total) <= 1e-6 * total
    return {
        "rows": rows,
        "rows_per_s": round(rows / took_s),
        "mib_per_s": round(rows * (4 * CLASSES + 8) / took_s / 1024**2, 1),
        "service_growth_mib": _mib(memory_bytes(pid, "VmHWM") - before[pid]),
        "client_growth_mib": _mib(client_peak - before["self"]),
    }


def _mib(size_bytes: int) -> float:
    return round(size_bytes / 1024**2, 1)


def producing_alone(rows: int) -> float:
    """Rows per second that are made, when nothing is done with them."""
    started_s = time.perf_counter()
    for _ in batches(rows):
        pass
    return rows / (time.perf_counter() - started_s)


def main(words: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows: int = parser.parse_args(words).rows
    with service() as (url, pid), Client(url, retry=Retry(times=100)) as client:
        client.version()
        check(client)
        grown_mib = []
        for way, options in WAYS.items():
            line = {"bench": "streams", "way": way, **measure(client, pid, rows, options)}
            line |= {"making_rows_per_s": round(producing_alone(min(rows, 1_000_000)))}
            line |= {"cores": os.cpu_count(), "machine": platform.machine()}
            grown_mib.append(line["service_growth_mib"])
            print(json.dumps(line), flush=True)
    if max(grown_mib) * 1024**2 >= MOST_GROWTH_BYTES:
        raise SystemExit(f"the service grew by {max(grown_mib)} MiB")


if __name__ == "__main__":
    main(sys.argv[1:])
