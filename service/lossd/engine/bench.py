"""What a job that has a lane to itself computes with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from lossd.engine.blocks import BLOCK_BYTES
from lossd.engine.compute import compute
from lossd.engine.cuda import Lane
from lossd.engine.fused import ONE_SLICE, Slices
from lossd.engine.memory import Buffers
from lossd.schema import Call, Result

T = TypeVar("T")
_CPU = torch.device("cpu")
_KEEP_NOTHING = Buffers(0)


@dataclass(frozen=True, slots=True)
class Bench:
    """A lane and its device. Whoever has none is given the CPU."""

    device: torch.device = _CPU
    buffers: Buffers = _KEEP_NOTHING
    slices: Slices = ONE_SLICE
    lane: Lane | None = None
    block_bytes: int = BLOCK_BYTES

    def compute(self, call: Call) -> Result:
        """One call, as the engine computes it. Raises what `compute` raises."""
        return compute(
            call,
            self.device,
            self.buffers,
            self.slices,
            lane=self.lane,
            block_bytes=self.block_bytes,
        )

    def on_device(self, work: Callable[[], T]) -> T:
        """Do something with tensors on the device, in the lane's first queue, to its end."""
        if self.lane is None:
            return work()
        done: list[T] = []
        self.lane.submit(0, lambda: done.append(work()))
        self.lane.wait(0)
        return done[0]
