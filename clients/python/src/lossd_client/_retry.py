"""When to try again, and after how long. Computing a loss changes nothing, so repeating is safe."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lossd_client.errors import ConnectionFailed, LossdError

_STATUSES = frozenset({429, 502, 503})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to repeat what may succeed later: a refused connection, 429, 502, 503.

    - `times`: repeats after the first try.
    - `first_wait_s`: the longest first pause; it doubles each time, up to `most_wait_s`, and the
      actual pause is drawn evenly below it. `Retry-After` sets its least.
    """

    times: int = 2
    first_wait_s: float = 0.1
    most_wait_s: float = 10.0

    def wait_s(
        self, error: LossdError, tried: int, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait before the next try, or None to give up."""
        may_help = isinstance(error, ConnectionFailed) or error.status in _STATUSES
        if tried > self.times or not may_help or error.code == "out_of_memory":
            return None
        pause_s: float = draw() * min(self.most_wait_s, self.first_wait_s * 2 ** (tried - 1))
        if error.retry_after_s is None:
            return pause_s
        return None if error.retry_after_s > self.most_wait_s else error.retry_after_s + pause_s


def read_retry_after_s(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date; None if neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
