"""Something awaited that is run at once as far as it gets without waiting."""

from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any


@dataclass(slots=True)
class Started:
    """Done with a value, or waiting: then `rest` must be awaited, once."""

    is_done: bool
    value: Any
    _running: Generator[Any, Any, Any] | None = None

    @coroutine
    def rest(self) -> Generator[Any, Any, Any]:
        """Go on until it is done, and give its value."""
        assert self._running is not None
        waiting = self.value
        try:
            while True:
                try:
                    sent = yield waiting
                except BaseException as err:  # a cancellation too is for what was started to see
                    waiting = self._running.throw(err)
                else:
                    waiting = self._running.send(sent)
        except StopIteration as done:
            return done.value


def start(awaited: Awaitable[Any]) -> Started:
    """Run it until it waits for the first time, or is done. Raises what it raises."""
    running = awaited.__await__()
    try:
        waiting = next(running)
    except StopIteration as done:
        return Started(True, done.value)
    return Started(False, waiting, running)
