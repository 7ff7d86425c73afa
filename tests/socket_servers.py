"""Servers of plain sockets, which behave or misbehave as a test wants."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[socket.socket], None]
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes a certificate with openssl"
)


@contextmanager
def serving(*each: Serve, uds: str | None = None) -> Iterator[str]:
    """A server whose nth connection is served by the nth function. Yields its URL."""

    def run(sock: socket.socket, serve: Serve) -> None:
        with sock:
            sock.settimeout(20)
            serve(sock)

    def accept_all() -> None:
        for serve in each:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=run, args=(sock, serve)))
            threads[-1].start()

    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_INET if uds is None else socket.AF_UNIX) as listener:
        listener.bind(("127.0.0.1", 0) if uds is None else uds)
        listener.listen()
        accepting = threading.Thread(target=accept_all)
        accepting.start()
        try:
            yield "http://lossd" if uds else f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def read_request(sock: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one request; two times nothing if the client hangs up."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        got += more
    head, _, start = got.partition(b"\r\n\r\n")
    body = bytearray(start)
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += sock.recv(1 << 20)
    return head, bytes(body)


def echo(sock: socket.socket) -> None:
    while (request := read_request(sock))[0]:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request[1]))
        sock.sendall(request[1])


def answering(*answers: bytes) -> Serve:
    """One answer to each request, then the end."""

    def serve(sock: socket.socket) -> None:
        for answer in answers:
            read_request(sock)
            sock.sendall(answer)

    return serve


def hang_up(sock: socket.socket) -> None:
    read_request(sock)


def make_certificate(folder: Path) -> tuple[str, str]:
    """Paths of a new key, and of a certificate of it for 127.0.0.1."""
    key, certificate = str(folder / "key"), str(folder / "certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key]
    command += ["-out", certificate, "-subj", "/CN=lossd", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate
