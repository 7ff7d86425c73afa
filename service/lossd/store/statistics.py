"""Counters per model, kept by each worker process in its own slot of one mapped file.

A slot has one writer, so nothing is locked; readers add the slots up. A worker that takes over the
slot of a dead one goes on counting where that one stopped.
"""

import fcntl
import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SLOTS = 64  # the most worker processes of one service
_FIELDS = (
    "success", "fail", "success_ns", "fail_ns", "queue_ns", "input_ns", "infer_ns", "output_ns",
    "items", "executions", "last_ms",
)  # fmt: skip
_INDEX = {name: i for i, name in enumerate(_FIELDS)}


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the phases of one call took, in nanoseconds."""

    total: int
    queue: int = 0
    input: int = 0
    infer: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Totals of one model over all workers: counts, nanoseconds, milliseconds since the epoch."""

    success: int
    fail: int
    success_ns: int
    fail_ns: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    items: int
    executions: int
    last_ms: int


class Statistics:
    """One worker's counters, and everybody's totals.

    Raises `RuntimeError` if every slot of the folder is taken.
    """

    def __init__(self, folder: Path, models: Sequence[str]) -> None:
        self._row = {name: i for i, name in enumerate(sorted(models))}
        kind = zlib.crc32("\n".join([*sorted(models), *_FIELDS]).encode())
        shape = (SLOTS, len(self._row), len(_FIELDS))
        path = folder / f"statistics-{kind:08x}.bin"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, int(np.prod(shape)) * 8)
        finally:
            os.close(file)
        self._all = np.memmap(path, np.uint64, "r+", shape=shape)
        self._lock, slot = _take_slot(folder)
        mine = np.asarray(self._all[slot])  # a plain array: what it does takes half the time
        self._mine = dict(zip(sorted(models), mine, strict=True))

    def close(self) -> None:
        """Give the slot back; its counts stay."""
        os.close(self._lock)

    def succeeded(self, model: str, items: int, durations: Durations) -> None:
        """Count a call that was answered, of so many items."""
        counts = self._mine[model]
        more = (
            1, 0, durations.total, 0, durations.queue, durations.input, durations.infer,
            durations.output, items, 1,
        )  # fmt: skip
        counts[:-1] += np.array(more, np.uint64)  # in the order of _FIELDS
        counts[-1] = time.time_ns() // 1_000_000

    def failed(self, model: str, duration_ns: int) -> None:
        """Count a call that was refused or went wrong."""
        counts = self._mine[model]
        counts[_INDEX["fail"]] += np.uint64(1)
        counts[_INDEX["fail_ns"]] += np.uint64(max(0, duration_ns))

    def of(self, model: str) -> ModelStatistics:
        """The totals of a model over all workers, dead ones included."""
        slots = self._all[:, self._row[model]]
        totals = slots.sum(axis=0).tolist()
        totals[_INDEX["last_ms"]] = int(slots[:, _INDEX["last_ms"]].max())
        return ModelStatistics(*totals)


def _take_slot(folder: Path) -> tuple[int, int]:
    """A lock's file descriptor and the slot that it guards; the kernel frees it when we die."""
    for slot in range(SLOTS):
        lock = os.open(folder / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return lock, slot
    raise RuntimeError(f"{folder}: more than {SLOTS} worker processes")
