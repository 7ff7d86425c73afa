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
        self._mine = self._all[slot]

    def close(self) -> None:
        """Give the slot back; its counts stay."""
        os.close(self._lock)

    def succeeded(self, model: str, items: int, durations: Durations) -> None:
        """Count a call that was answered, of so many items."""
        more = {
            "success": 1,
            "success_ns": durations.total,
            "queue_ns": durations.queue,
            "input_ns": durations.input,
            "infer_ns": durations.infer,
            "output_ns": durations.output,
            "items": items,
            "executions": 1,
        }
        counts = self._mine[self._row[model]]
        for name, value in more.items():
            counts[_INDEX[name]] += np.uint64(max(0, value))
        counts[_INDEX["last_ms"]] = np.uint64(time.time_ns() // 1_000_000)

    def failed(self, model: str, duration_ns: int) -> None:
        """Count a call that was refused or went wrong."""
        counts = self._mine[self._row[model]]
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
