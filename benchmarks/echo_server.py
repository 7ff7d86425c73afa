"""An HTTP server that answers each body with itself: plain sockets, one buffer per connection.

`python -m benchmarks.echo_server SOCKET_PATH` prints its TCP port, and serves until stdin ends.
"""

import socket
import sys
import threading

MOST_BYTES = 64 << 20
HEAD_BYTES = 64 << 10
PIECE_BYTES = 256 << 10  # a longer read locks the socket for who writes to it meanwhile


def serve_connection(sock: socket.socket) -> None:
    """Answer until the client hangs up. Each request has a head and a Content-Length."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(HEAD_BYTES + MOST_BYTES))
    with sock:
        while True:
            have, end = 0, -1
            while end < 0:
                count = sock.recv_into(buffer[have : have + HEAD_BYTES])
                if not count:
                    return
                have += count
                end = bytes(buffer[: min(have, HEAD_BYTES)]).find(b"\r\n\r\n")
            head = bytes(buffer[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split()[0])
            body = buffer[end + 4 : end + 4 + length]
            at = have - end - 4
            while at < length:
                at += sock.recv_into(body[at : at + PIECE_BYTES])
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            sock.sendall(body)


def accept(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(sock,), daemon=True).start()


def main() -> None:
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(sys.argv[1])
    unix.listen()
    for listener in (tcp, unix):
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    print(tcp.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
