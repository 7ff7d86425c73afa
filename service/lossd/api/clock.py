"""How long each phase of a request took, for `Server-Timing`."""

import time
from collections.abc import Mapping


class Clock:
    """Notes how long each phase of a request took."""

    __slots__ = ("_last_s", "_seconds")

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last_s = time.perf_counter()

    def note(self, phase: str) -> None:
        """The time since the last phase ended was this one's."""
        now_s = time.perf_counter()
        self._seconds[phase] = now_s - self._last_s
        self._last_s = now_s

    def skip(self, seconds: Mapping[str, float]) -> None:
        """Phases that somebody else timed."""
        self._seconds.update(seconds)
        self._last_s = time.perf_counter()
