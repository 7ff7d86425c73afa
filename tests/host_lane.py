"""A lane without a GPU: its queues do their work as late as they may, in any order among them.

Copies and launches are real. What a caller does too early, before it waited, goes wrong here as it
would on a device.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossd.engine.memory import Buffers

CPU = torch.device("cpu")


class HostLane:
    """`most_bytes` of memory is all that its device has; `allocated` says what was asked for."""

    device = CPU
    queues = 3

    def __init__(self, most_bytes: int = 1 << 40, staging_bytes: int = 1 << 28) -> None:
        self.staging = Buffers(staging_bytes, _host_memory)
        self.most_bytes = most_bytes
        self.allocated: list[tuple[int, ...]] = []
        self.waits = self.releases = 0
        self._held_bytes = 0
        self._queues: list[deque[Callable[[], Any]]] = [deque() for _ in range(self.queues)]
        self._order = random.Random(0)

    def allocate(self, queue: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        x = torch.empty(shape, dtype=dtype)
        self._held_bytes += x.nbytes
        if self._held_bytes > self.most_bytes:
            raise torch.OutOfMemoryError("the device is full")
        self.allocated.append(shape)
        # Garbage, so that nobody gets by with what happens to be there.
        x.view(-1).view(torch.uint8).random_(0, 255)
        return x

    def submit(self, queue: int, work: Callable[[], Any]) -> None:
        self._queues[queue].append(work)

    def wait(self, queue: int) -> None:
        """Do all of this queue, and of the others as much as chance has it."""
        self.waits += 1
        others = [i for i in range(self.queues) if i != queue]
        while self._queues[queue]:
            at = self._order.choice([queue, *others])
            if self._queues[at]:
                self._queues[at].popleft()()

    def release(self) -> None:
        self.releases += 1
        self._held_bytes = 0


def _host_memory(size: int) -> Any:
    return torch.empty(size, dtype=torch.uint8).numpy()
