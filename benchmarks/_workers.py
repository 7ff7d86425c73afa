"""Processes that work in turns: `auditors/work_<name>.py`, each in its own interpreter."""

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks._venvs import AUDITORS


class WorkerFailed(Exception):
    """A worker ended, or said something else than an answer."""


class Worker(AbstractContextManager["Worker"]):
    """One of them, ready and waiting once it is entered. Raises `WorkerFailed`.

    A worker that waits takes no time from another: it is blocked reading a line.
    """

    def __init__(self, name: str, python: Path, arguments: Sequence[str]) -> None:
        self.name = name
        self._command = [str(python), f"work_{name}.py", *arguments]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=AUDITORS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        self.version = str(self._read()["version"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def do(self, task: str) -> dict[str, Any]:
        """`took_s`, `peak_rss_mib` of the process, `answer`."""
        assert self._process.stdin is not None
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        """The next line that is an answer; libraries print things of their own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise WorkerFailed(f"{self.name} ended with {self._process.wait(10)}")
