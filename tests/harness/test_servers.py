"""The harness: what it times is checked, what it writes down can be read again."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import bench_servers, report
from benchmarks._calls import Answer, WrongAnswer, call_of, check
from benchmarks._load import Connections, LoadFailed, Request, load
from benchmarks._targets import TARGETS, ratio_line


@contextmanager
def answering(reply: bytes, piece: int = 1 << 20) -> Iterator[int]:
    """A server that reads a head and answers each with these bytes, a piece at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(sock: socket.socket) -> None:
            with sock:
                while sock.recv(1 << 16):
                    for at in range(0, len(reply), piece):
                        sock.sendall(reply[at : at + piece])

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_load_generator_reads_every_answer_to_its_end(piece: int) -> None:
    body = bytes(range(256)) * 4
    reply = b"HTTP/1.1 200 OK\r\ncontent-Length: %d\r\n\r\n" % len(body) + body
    with answering(reply, piece) as port:
        with Connections(port, Request("/", b"{}"), 1) as opened:
            assert [opened.call().body for _ in range(3)] == [body] * 3
        slot = load(port, Request("/", b"{}"), 3, 60.0, most_requests=10)
    assert slot.requests == len(slot.latencies_us) == 10
    assert slot.p50_us <= slot.p99_us <= max(slot.latencies_us)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["not_200", "no_length"],
)
def test_the_load_generator_counts_no_answer_that_it_cannot_vouch_for(reply: bytes) -> None:
    with answering(reply) as port, pytest.raises(LoadFailed):
        load(port, Request("/", b"{}"), 1, 60.0, most_requests=10)


def test_a_wrong_answer_is_found() -> None:
    call = call_of(4, 3, wants_rows=True)
    with pytest.raises(WrongAnswer, match="value"):
        check("x", call, Answer(0.0, np.zeros((4, 3)), np.zeros(4)))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.section}-{t.mine}-{t.theirs}")
def test_a_verdict_follows_from_the_ratio(target: Any) -> None:
    assert ratio_line(target, [target.reach], [1.0])["verdict"] == "reached"
    beyond = target.floor * (1.01 if target.lower else 0.99)
    assert ratio_line(target, [beyond] * 3, [1.0] * 3)["verdict"] == "missed"
    assert ratio_line(target, [1.0], None)["verdict"] == "not measured"


def test_a_quick_run_of_lossd_is_saved_and_reported(tmp_path: Path) -> None:
    options = ["--quick", "--only", "small_latency", "--contenders", "lossd"]
    bench_servers.main([*options, "--results", str(tmp_path)])
    path = tmp_path / "servers.small_latency.jsonl"
    machine, contender, *targets = map(json.loads, path.read_text().splitlines())
    assert machine["kind"] == "machine" and machine["quick"]
    assert contender["contender"] == "lossd" and contender["requests"] > 0
    assert contender["peak_rss_mib"] > 0
    assert {line["verdict"] for line in targets} == {"not measured"}
    page = report.page(tmp_path)
    assert "| `lossd` |" in page and "not measured" in page and "Not measured yet." in page
