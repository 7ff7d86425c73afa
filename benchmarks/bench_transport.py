"""Echoing a body over loopback: the SDK's transport, httpx's own, and a plain socket.

The plain socket reuses one buffer and parses nothing, so it is the floor. Answers are compared
first; then the ways alternate. One JSON line per size and way; `to_plain` is the median of the
ratios to the plain socket over TCP in the same round.
"""

import json
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

import httpx
import numpy as np

from benchmarks.echo_server import PIECE_BYTES
from lossd_client import SocketTransport

BODY_BYTES = (16 << 20, 1 << 10)
ALTERNATIONS = 60
Echo = Callable[[memoryview], memoryview]


@contextmanager
def echo_server() -> Iterator[tuple[int, str]]:
    """A server in a process of its own; yields its TCP port and the path of its Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "echo")
        command = [sys.executable, "-m", "benchmarks.echo_server", path]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            yield int(process.stdout.readline()), path


class PlainSocket:
    """The least that an echo can cost: a ready head, one buffer, nothing parsed but its end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = memoryview(bytearray(1024 + max(BODY_BYTES)))

    def echo(self, body: memoryview) -> memoryview:
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        if len(body) <= 1024:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)
        have, start = 0, 0
        while not start or have < start + len(body):
            have += self._sock.recv_into(self._buffer[have : have + PIECE_BYTES])
            if not start:
                start = bytes(self._buffer[: min(have, 1024)]).find(b"\r\n\r\n") + 4
        return self._buffer[start:have]


def over_httpx(client: httpx.Client) -> Echo:
    def echo(body: memoryview) -> memoryview:
        headers = {"content-length": str(len(body))}
        with client.stream("POST", "/", content=[body], headers=headers) as response:
            found = response.extensions.get("body")
            return memoryview(response.read()) if found is None else found

    return echo


def ways(stack: ExitStack, port: int, path: str) -> Mapping[str, Echo]:
    """Every way to echo, by its name; the connections end with the stack."""
    url = f"http://127.0.0.1:{port}"
    tcp = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    unix.connect(path)
    clients = {
        "httpx_tcp": httpx.HTTPTransport(),
        "sdk_tcp": SocketTransport(),
        "sdk_unix": SocketTransport(uds=path),
    }
    found = {
        name: over_httpx(
            stack.enter_context(httpx.Client(base_url=url, transport=each, timeout=30))
        )
        for name, each in clients.items()
    }
    return {"plain_tcp": PlainSocket(tcp).echo, "plain_unix": PlainSocket(unix).echo, **found}


def measure(echoes: Mapping[str, Echo], body: memoryview) -> Mapping[str, list[float]]:
    """Microseconds of every round."""
    took_us: dict[str, list[float]] = {name: [] for name in echoes}
    for echo in echoes.values():
        assert echo(body) == body
    for _ in range(ALTERNATIONS):
        for name, echo in echoes.items():
            started_s = time.perf_counter()
            echo(body)
            took_us[name].append(1e6 * (time.perf_counter() - started_s))
    return took_us


def main() -> None:
    noise = np.random.default_rng(0).integers(0, 256, max(BODY_BYTES), np.uint8)
    with echo_server() as (port, path), ExitStack() as stack:
        echoes = ways(stack, port, path)
        for size in BODY_BYTES:
            took_us = measure(echoes, noise[:size].data)
            for name, rounds_us in took_us.items():
                pairs = zip(rounds_us, took_us["plain_tcp"], strict=True)
                line = {
                    "bench": "transport",
                    "way": name,
                    "body_bytes": size,
                    "p50_us": round(statistics.median(rounds_us), 1),
                    "to_plain": round(statistics.median(mine / plain for mine, plain in pairs), 2),
                    "rounds": ALTERNATIONS,
                    "httpx": httpx.__version__,
                    "machine": platform.machine(),
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
