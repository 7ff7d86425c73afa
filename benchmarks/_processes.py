"""A server in processes of its own: pinned, measured, paused between its turns, stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """A server did not come up; the end of what it printed is in the message."""


class Server:
    """A process and all that it starts. Use it in a `with` block; it begins paused.

    - `cpus`: the cores that it may use; all of this process's if None.
    - `ready_path`: answers 200 once the server takes calls.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        ready_path: str,
        environment: Mapping[str, str],
        cpus: set[int] | None,
    ) -> None:
        self.name, self.port = name, port
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 # closed by `stop`
        with pinned_to(cpus):
            self._process = subprocess.Popen(
                command,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(ready_path)
        except BaseException:
            self.stop()
            raise
        self.pause()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, ready_path: str) -> None:
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            if self._process.poll() is not None:
                raise ServerFailed(
                    f"{self.name} ended with {self._process.returncode}: {self.said}"
                )
            if _answers(self.port, ready_path):
                return
            time.sleep(0.1)
        raise ServerFailed(f"{self.name} was not ready in {START_TIMEOUT_S:.0f} s: {self.said}")

    @property
    def said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-600:].strip()

    @property
    def pids(self) -> list[int]:
        """Every process of the session that the server began."""
        found = []
        for each in Path("/proc").iterdir():
            if each.name.isdigit():
                with contextlib.suppress(OSError):
                    if _stat(int(each.name))[3] == str(self._process.pid):
                        found.append(int(each.name))
        return found

    @property
    def cpu_s(self) -> float:
        """CPU time of all its processes, threads included, to 10 ms."""
        total = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                total += sum(map(int, _stat(pid)[11:13]))
        return total / TICKS_PER_S

    def memory_mib(self, line: str = "VmHWM") -> float:
        """A line of /proc/<pid>/status, summed: `VmHWM` the peaks, `VmRSS` now.

        Pages that processes share count in each of them.
        """
        total_kib = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                for each in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if each.startswith(f"{line}:"):
                        total_kib += int(each.split()[1])
        return total_kib / 1024

    def pause(self) -> None:
        """Stop every process where it is, so that it costs the others nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask, then insist. Also ends what the server itself leaves behind."""
        self.resume()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _signal(self, number: int) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def pinned_to(cpus: set[int] | None) -> Iterator[None]:
    """This thread, and the processes that it starts, on these cores until the block ends."""
    before = os.sched_getaffinity(0)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            return sock.recv(64)[9:12] == b"200"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
