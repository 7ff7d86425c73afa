"""What one lane has on its device: memory, and queues that run beside each other.

All calls that need CUDA are here, so that everything else runs and is tested without it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.memory import Buffers

STAGING_BYTES = 512 * 1024 * 1024  # of page-locked memory, unless settings say otherwise
_QUEUES = 3  # one copies in, one computes, one copies out


class Lane(Protocol):
    """One call at a time uses it.

    `staging` is host memory that the device copies from and to without the host waiting.
    """

    device: torch.device
    queues: int
    staging: Buffers

    def allocate(self, queue: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory on the device for the work of one queue. Raises `torch.OutOfMemoryError`."""
        ...

    def submit(self, queue: int, work: Callable[[], Any]) -> None:
        """Do copies and launches in this queue, after all that was submitted to it before."""
        ...

    def wait(self, queue: int) -> None:
        """Until all that was submitted to a queue is done. Raises what went wrong there."""
        ...

    def release(self) -> None:
        """Give memory that nothing uses back to the device."""
        ...


class CudaLane:
    """A lane of a CUDA device: each queue is a stream."""

    queues = _QUEUES

    def __init__(self, device: torch.device, staging_bytes: int) -> None:
        self.device = device
        self.staging = Buffers(staging_bytes, _page_locked)
        self._streams: list[torch.cuda.Stream] = [
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch leaves it untyped
            for _ in range(_QUEUES)
        ]

    def allocate(self, queue: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """From torch's cache of this stream's memory."""
        with torch.cuda.stream(self._streams[queue]):
            return torch.empty(shape, dtype=dtype, device=self.device)

    def submit(self, queue: int, work: Callable[[], Any]) -> None:
        """The host goes through the work at once; the device does it when it comes to it."""
        with torch.cuda.stream(self._streams[queue]):
            work()

    def wait(self, queue: int) -> None:
        """The host blocks, without the interpreter's lock."""
        self._streams[queue].synchronize()

    def release(self) -> None:
        """Empty torch's cache."""
        torch.cuda.empty_cache()


def _page_locked(size: int) -> NDArray[Any]:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()


def open_lane(device: torch.device, staging_bytes: int = STAGING_BYTES) -> Lane:
    """A lane of a CUDA device."""
    return CudaLane(device, staging_bytes)
