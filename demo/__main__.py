"""`python -m demo`: a real model's outputs, posted to every loss of a running service.

Starts `lossd serve` on a free loopback port, trains a small classifier on scikit-learn's digits,
prints a line per loss, stops the service. A loss that a classifier has nothing for gets its own
example, and a star. At the end the same outputs are audited, with some labels made wrong.
"""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo.audit import audit
from demo.digits import Outputs, train
from lossd_client import Client, LossdError, Result

COLUMNS = ("loss", "value", "sum", "denominator", "gradient norm", "worst row", "ms")


@contextmanager
def service() -> Iterator[str]:
    """A service of its own on a free port; yields its URL."""
    command = [sys.executable, "-m", "lossd", "serve", "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"LOSSD_LOG_LEVEL": "warning", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first.startswith("lossd is at "):
            raise SystemExit(f"the service did not start: exit code {process.wait()}")
        yield first.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(client: Client) -> None:
    deadline_s = time.monotonic() + 60
    while not client.is_ready():
        if time.monotonic() > deadline_s:
            raise SystemExit("the service did not become ready within 60 s")
        time.sleep(0.1)


def gradient_norm(result: Result) -> float:
    parts = list(_arrays(result.gradients))
    return float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts)))


def _arrays(gradients: Mapping[str, Any]) -> Iterator[np.ndarray]:
    for each in gradients.values():
        if isinstance(each, Mapping):
            yield from _arrays(each)
        else:
            yield each


def worst_row(result: Result) -> str:
    if result.rows is None or result.rows.ndim == 0:
        return "-"
    per_row = result.rows.reshape(len(result.rows), -1).sum(1)
    return str(int(per_row.argmax()))


def measure(client: Client, name: str, outputs: Outputs) -> list[str]:
    inputs, params = outputs.inputs_for(name), None
    by_example = inputs is None
    if by_example:
        request = client.describe(name)["example"]["request"]
        inputs, params = request["inputs"], request.get("params")
    started_s = time.perf_counter()
    wanted = ["value", "rows", "gradients"]
    result = client.compute(name, outputs=wanted, inputs=inputs, params=params)
    took_ms = 1e3 * (time.perf_counter() - started_s)
    value = "null" if result.value is None else f"{result.value:.5g}"
    numbers = [f"{result.sum:.6g}", f"{result.denominator:g}", f"{gradient_norm(result):.2e}"]
    return [name + "*" * by_example, value, *numbers, worst_row(result), f"{took_ms:.1f}"]


def print_line(cells: Sequence[str]) -> None:
    print("  ".join([cells[0].ljust(32), *(cell.rjust(13) for cell in cells[1:])]), flush=True)


def main() -> int:
    console = Console()
    quiet = not console.is_terminal
    follow = functools.partial(track, console=console, disable=quiet)
    outputs = train(lambda epochs: follow(epochs, "training on digits"))
    console.print(f"held-out accuracy of the model: {outputs.accuracy:.3f}")
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "loss" else "right", overflow="fold")
    if quiet:
        print_line(COLUMNS)
    # A transport of its own, so that a proxy in the environment is not asked for loopback.
    with service() as url, Client(url, transport=httpx.HTTPTransport()) as client:
        wait_until_ready(client)
        names = [each["name"] for each in client.losses()]
        for name in follow(names, "computing losses"):
            try:
                row = measure(client, name, outputs)
            except LossdError as err:
                print(f"demo: {name}: {type(err).__name__}: {err}", file=sys.stderr)
                return 1
            table.add_row(*row)
            if quiet:
                print_line(row)
    if not quiet:
        console.print(table)
    audited = audit(outputs.logits, outputs.labels)
    print(f"\nAudit of the held-out outputs, some labels of which were made wrong:\n{audited.said}")
    print(audited)
    return 0


if __name__ == "__main__":
    sys.exit(main())
