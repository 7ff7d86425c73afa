"""Memory of a special kind: kept within the bound, used again, never given out twice."""

import subprocess
import sys

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.memory import LEAST_BYTES, Buffers

MADE = 2 * LEAST_BYTES


def special(sizes: list[int]) -> Buffers:
    """Of torch's memory, as page-locked memory is; `sizes` tells what was made."""

    def make(size: int) -> NDArray[np.uint8]:
        sizes.append(size)
        return torch.empty(size, dtype=torch.uint8).numpy()

    return Buffers(3 * MADE, make)


def test_idle_memory_is_used_again_and_held_memory_is_not() -> None:
    sizes: list[int] = []
    buffers = special(sizes)
    first = buffers.take((MADE,), np.uint8)
    held = torch.from_numpy(first.view(np.float32))  # a tensor of it holds it too
    del first
    second = buffers.take((MADE,), np.uint8)
    assert second.ctypes.data != held.data_ptr()
    assert len(sizes) == 2
    at = held.data_ptr()
    del held
    assert buffers.take((MADE,), np.uint8).ctypes.data == at
    assert len(sizes) == 2


def test_beyond_the_bound_memory_is_ordinary_and_small_memory_is_not() -> None:
    sizes: list[int] = []
    buffers = special(sizes)
    assert buffers.take((5 * MADE,), np.uint8).size == 5 * MADE
    assert not sizes
    assert buffers.take((3, 5), np.float64).shape == (3, 5)
    assert sizes == [120]
    kept = [buffers.take((MADE,), np.uint8) for _ in range(5)]
    assert len({x.ctypes.data for x in kept}) == 5
    assert len(sizes) == 3  # of the five, two fit in with what each needs to be aligned


FAULTS = """
import resource, sys, torch
from lossd.engine import Engine
from lossd.engine.compute import compute_plainly
from lossd.schema import parse_call
from lossd.wire import Message

engine = Engine("cpu", lanes=1, threads=1, pool_bytes=int(sys.argv[1]))
logits, labels = torch.randn(1024, 1000), torch.randint(1000, (1024,))
call = parse_call("symmetric_cross_entropy", Message({"logits": logits, "labels": labels}, {}))
for _ in range(12):
    compute_plainly(call, engine.device)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    compute_plainly(call, engine.device)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
engine.close()
"""


def test_what_plain_functions_let_go_of_is_used_again() -> None:
    def faults(pool_bytes: int) -> int:
        command = [sys.executable, "-c", FAULTS, str(pool_bytes)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults(256 << 20) < faults(0) / 2
