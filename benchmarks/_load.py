"""A load generator that is light enough to stand beside a fast server: ready bytes, one epoll.

Each connection has one request in flight. An answer is read to the end that its Content-Length
gives, and must be a 200. Nothing else is parsed while the clock runs.
"""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

TIMEOUT_S = 120.0
HEAD_BYTES = 16 << 10


class LoadFailed(Exception):
    """A server hung up, went silent or answered something other than 200."""


@dataclass(frozen=True)
class Slot:
    """What one server did while it had the machine."""

    requests: int
    elapsed_s: float
    latencies_us: Sequence[float] = field(repr=False)
    generator_cpu_s: float

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.elapsed_s

    @property
    def p50_us(self) -> float:
        return median(self.latencies_us)

    @property
    def p99_us(self) -> float:
        if len(self.latencies_us) < 2:
            return max(self.latencies_us)
        return quantiles(self.latencies_us, n=100, method="inclusive")[98]

    @property
    def generator_cpu_share(self) -> float:
        return self.generator_cpu_s / self.elapsed_s


@dataclass(frozen=True)
class Request:
    """Bytes that are ready to send: the head and the body."""

    path: str
    body: bytes = field(repr=False)
    headers: Sequence[tuple[str, str]] = ()

    @property
    def bytes(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


@dataclass(frozen=True)
class Response:
    """An answer, header names in small letters."""

    headers: dict[str, str]
    body: bytes = field(repr=False)
    latency_us: float


def call(port: int, request: Request) -> Response:
    """One call over a connection of its own. Raises `LoadFailed`."""
    with Connections(port, request, 1) as connections:
        return connections.call()


def load(
    port: int, request: Request, connections: int, duration_s: float, most_requests: int = 1 << 30
) -> Slot:
    """Fresh connections, a call on each to warm up, then the clock. Raises `LoadFailed`."""
    with Connections(port, request, connections) as opened:
        return opened.load(duration_s, most_requests)


class _Connection:
    """One request in flight at most; the answer lands in a buffer that grows to the largest."""

    __slots__ = ("buffer", "have", "needed", "refused", "rest", "sock", "started_ns")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buffer = memoryview(bytearray(HEAD_BYTES))
        self.rest = memoryview(b"")
        self.have = self.needed = self.started_ns = 0
        self.refused = False

    def begin(self, request: memoryview) -> None:
        self.have = self.needed = 0
        self.rest = request
        self.started_ns = time.perf_counter_ns()
        self.write()

    def write(self) -> None:
        try:
            while self.rest:
                self.rest = self.rest[self.sock.send(self.rest) :]
        except BlockingIOError:
            pass
        except OSError as err:
            raise LoadFailed(f"the server hung up on the request: {err}") from err

    def read(self) -> bool:
        """Whether the answer is whole now."""
        try:
            count = self.sock.recv_into(self.buffer[self.have :])
        except BlockingIOError:
            return False
        except OSError as err:
            raise LoadFailed(f"the server hung up: {err}") from err
        if not count:
            raise LoadFailed("the server hung up before its answer was whole")
        self.have += count
        if not self.needed:
            self._read_head()
        whole = 0 < self.needed <= self.have
        if whole and self.refused:
            raise LoadFailed(bytes(self.buffer[: min(self.needed, 1000)]).decode(errors="replace"))
        return whole

    def _read_head(self) -> None:
        head, end, _ = bytes(self.buffer[: min(self.have, HEAD_BYTES)]).partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not length:
            raise LoadFailed("an answer without Content-Length is not read here")
        self.needed = len(head) + 4 + int(length)
        if self.needed > len(self.buffer):
            larger = memoryview(bytearray(self.needed))
            larger[: self.have] = self.buffer[: self.have]
            self.buffer = larger
        self.refused = head[9:12] != b"200"


class Connections:
    """Keep-alive connections to one server, every one with the same request ready."""

    def __init__(self, port: int, request: Request, count: int) -> None:
        self._request = memoryview(request.bytes)
        self._epoll = select.epoll()
        self._by_fd = {
            each.sock.fileno(): each for each in (_Connection(port) for _ in range(count))
        }
        for number in self._by_fd:
            self._epoll.register(number, select.EPOLLIN)

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._by_fd.values():
            each.sock.close()
        self._epoll.close()

    def call(self) -> Response:
        """One call on the first connection."""
        latency_us = self._run(list(self._by_fd.values())[:1], 0, 1)[0]
        first = next(iter(self._by_fd.values()))
        head, _, body = bytes(first.buffer[: first.needed]).partition(b"\r\n\r\n")
        pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Response(headers, body, latency_us)

    def load(
        self, duration_s: float, most_requests: int = 1 << 30, *, warm_up: bool = True
    ) -> Slot:
        """Keep every connection busy for so long, or for so many requests."""
        everyone = list(self._by_fd.values())
        if warm_up:
            self._run(everyone, 0, len(everyone))
        cpu_s, started_s = time.process_time(), time.perf_counter()
        latencies_us = self._run(everyone, duration_s, most_requests)
        elapsed_s = time.perf_counter() - started_s
        return Slot(len(latencies_us), elapsed_s, latencies_us, time.process_time() - cpu_s)

    def _run(self, chosen: Sequence[_Connection], duration_s: float, most: int) -> list[float]:
        """Each connection calls once, then again until the time or the number is reached."""
        latencies_us: list[float] = []
        request, by_fd, poll = self._request, self._by_fd, self._epoll.poll
        clock_ns = time.perf_counter_ns
        end_ns = clock_ns() + int(duration_s * 1e9)
        for each in chosen:
            each.begin(request)
            self._listen(each)
        busy = len(chosen)
        begun = busy
        while busy:
            events = poll(TIMEOUT_S)
            if not events:
                raise LoadFailed(f"no answer in {TIMEOUT_S:.0f} s")
            for number, event in events:
                each = by_fd[number]
                if event & select.EPOLLOUT:
                    each.write()
                    self._listen(each)
                elif each.read():
                    now_ns = clock_ns()
                    latencies_us.append((now_ns - each.started_ns) / 1e3)
                    if now_ns < end_ns and begun < most:
                        begun += 1
                        each.begin(request)
                        if each.rest:
                            self._listen(each)
                    else:
                        busy -= 1
        return latencies_us

    def _listen(self, each: _Connection) -> None:
        wanted = select.EPOLLIN | (select.EPOLLOUT if each.rest else 0)
        self._epoll.modify(each.sock.fileno(), wanted)
