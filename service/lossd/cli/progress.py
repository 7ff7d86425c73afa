"""How far a long command is: one line on a terminal, nothing elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_PAUSE_S = 0.1


class Progress:
    """Counts rows of a table, of which there are `total` if that is known."""

    def __init__(self, total: int | None, stream: TextIO = sys.stderr) -> None:
        self._total, self._stream = total, stream
        self._is_shown = stream.isatty()
        self._rows = 0
        self._started_s = time.monotonic()
        self._next_s = self._started_s + _PAUSE_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")  # so that what is printed next begins its line
            self._stream.flush()

    def add(self, rows: int) -> None:
        """Count some more rows."""
        self._rows += rows
        now_s = time.monotonic()
        if self._is_shown and now_s >= self._next_s:
            self._next_s = now_s + _PAUSE_S
            self._stream.write(f"\r\x1b[K{self._line(now_s - self._started_s)}")
            self._stream.flush()

    def _line(self, seconds: float) -> str:
        speed = f"{self._rows / max(seconds, 1e-9):,.0f} rows/s"
        if not self._total:
            return f"{self._rows:,} rows, {speed}"
        share = self._rows / self._total
        return f"{self._rows:,} of {self._total:,} rows, {share:.0%}, {speed}"
