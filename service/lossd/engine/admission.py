"""Who may come in: bounds on requests and on bytes held at once, counted from the first byte."""

from typing import Self

from lossd.errors import Overloaded


class Lease:
    """One request's place in the queue, and the bytes that it holds, until its block ends."""

    __slots__ = ("_admission", "held_bytes")

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.requests -= 1
        self._admission.held_bytes -= self.held_bytes

    def hold(self, more_bytes: int) -> None:
        """Count bytes that have arrived. Raises `Overloaded`."""
        self._admission.held_bytes += more_bytes
        self.held_bytes += more_bytes
        most = self._admission.max_bytes
        if self._admission.held_bytes > most:
            raise Overloaded(
                "too many bytes are held already",
                expected=f"at most {most} bytes at once (LOSSD_MAX_BYTES_IN_FLIGHT)",
            )

    def release(self, fewer_bytes: int) -> None:
        """Count bytes that are held no longer."""
        self._admission.held_bytes -= fewer_bytes
        self.held_bytes -= fewer_bytes


class Admission:
    """Counts on the event loop alone, so it needs no lock."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.held_bytes = 0

    def has_room(self, more_bytes: int) -> bool:
        """Whether a request of so many bytes may come in, if it is gone again at once."""
        return self.requests < self.max_requests and self.held_bytes + more_bytes <= self.max_bytes

    def enter(self) -> Lease:
        """Hold a place from before the body is read. Raises `Overloaded`."""
        if self.requests >= self.max_requests:
            raise Overloaded(
                "the queue is full",
                expected=f"at most {self.max_requests} requests at once (LOSSD_MAX_QUEUE)",
            )
        self.requests += 1
        return Lease(self)
