"""Runs calls. Knows devices and queues; knows nothing of HTTP."""

import asyncio
import functools
import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from lossd.engine.admission import Admission as Admission
from lossd.engine.admission import Lease as Lease
from lossd.engine.bench import Bench as Bench
from lossd.engine.blocks import BLOCK_BYTES, is_out_of_memory
from lossd.engine.compute import compute as compute
from lossd.engine.cuda import (
    STAGING_BYTES,
    Lane,
    calls_to_warm_up,
    missing_for_kernels,
    open_lane,
)
from lossd.engine.devices import pick_device as pick_device
from lossd.engine.fold import Fold as Fold
from lossd.engine.fused import Slices
from lossd.engine.heap import keep_freed_memory
from lossd.engine.lanes import Lanes, Outcome
from lossd.engine.memory import Buffers as Buffers
from lossd.engine.small import SmallCalls
from lossd.engine.straight import Found as Found
from lossd.engine.straight import Straight as Straight
from lossd.engine.together import MOST_ELEMENTS, company_of, compute_together, padded_elements
from lossd.errors import OutOfMemory, TooLarge
from lossd.losses import CLASSIFIER, HIDDEN
from lossd.schema import Call, Result

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("lossd")


class Engine:
    """One device and its lanes: threads that compute one call each, off the event loop.

    - `threads`: CPU threads that one call may use; 0 is every core over the lanes of all workers.
    - `pool_bytes`: how much memory is kept to be used again: of large buffers, and as much of what
      the C library's heap has free.
    - `max_elements`: bounds what a loss that pairs rows makes of a small body.
    - `max_linear_logits`: bounds the logits that hidden states and a classifier make.
    - `block_bytes`: memory that one block of a call's rows may need.
    - `pinned_bytes`: page-locked memory that all lanes together keep for copies to and from CUDA.
    """

    def __init__(
        self,
        device: str,
        *,
        lanes: int,
        threads: int,
        workers: int = 1,
        pool_bytes: int = 0,
        max_elements: int | None = None,
        block_bytes: int = BLOCK_BYTES,
        pinned_bytes: int = STAGING_BYTES,
        max_linear_logits: int | None = None,
    ) -> None:
        self._max_elements, self._max_linear_logits = max_elements, max_linear_logits
        self.device = pick_device(device)
        threads = threads or max(1, (os.cpu_count() or 1) // (lanes * workers))
        torch.set_num_threads(threads)
        self.buffers = Buffers(pool_bytes)
        keep_freed_memory(pool_bytes)
        self._slices = Slices(threads)
        self._small = SmallCalls(self.device)
        self._block_bytes = block_bytes
        self._idle: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        for _ in range(lanes):
            on_device = self.device.type == "cuda"
            self._idle.put(open_lane(self.device, pinned_bytes // lanes) if on_device else None)
        self._lanes = Lanes(lanes, self._run, MOST_ELEMENTS)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="lossd-wire")

    async def submit(self, call: Call, *, timeout_s: float) -> Result:
        """Compute a call without holding the event loop up.

        Raises `DeadlineExceeded` if it could not start in time (nothing was computed then),
        `OutOfMemory`, `TooLarge`, and what `check_values` raises.
        """
        queued_s = time.perf_counter()
        self.check_size(call)
        small = self._small.compute(call, queued_s)
        if small is not None:
            return small
        company = company_of(call, self.device)
        return await self._lanes.compute(
            call, company, 0 if company is None else padded_elements(call), queued_s, timeout_s
        )

    async def run(self, job: Callable[[Bench], T], *, timeout_s: float) -> T:
        """Run a job on a lane, which it has to itself, without holding the event loop up.

        Raises `DeadlineExceeded` if it could not start in time (nothing was computed then),
        `OutOfMemory`, and what it raises.
        """
        found: T = await self._lanes.run(functools.partial(self._work, job), timeout_s)
        return found

    def check_size(self, call: Call) -> None:
        """Raises `TooLarge` where a call would make too much of what it was given."""
        if call.spec.matrices:
            self._check_pairs(call)
        if call.is_linear:
            self._check_logits(call)

    def straight(self, call: Call) -> Straight | None:
        """How calls like one that was computed go straight through a kernel, if they do."""
        return self._small.straight(call)

    async def off_loop(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run reading or writing that would hold the event loop up."""
        job = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._readers, job)

    def warm_up(self) -> None:
        """Compute every loss once, so that the first caller does not pay for what is set up late.

        On CUDA this compiles the kernels.
        """
        if self.device.type == "cuda" and (missing := missing_for_kernels()):
            _log.warning("no fused kernels on CUDA: %s is missing", missing)
        for call in calls_to_warm_up(self.device):
            self._compute(call)

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        self._lanes.close()
        self._readers.shutdown(cancel_futures=True)
        self._slices.close()

    def _check_pairs(self, call: Call) -> None:
        paired = call.paired_elements
        if self._max_elements is not None and paired > self._max_elements:
            raise TooLarge(
                f"{call.spec.name} pairs every row with every other: too many pairs",
                at="inputs",
                expected=f"at most {self._max_elements} pairs (LOSSD_MAX_ELEMENTS)",
                got=str(paired),
            )

    def _check_logits(self, call: Call) -> None:
        logits = call.linear_logits
        if self._max_linear_logits is not None and logits > self._max_linear_logits:
            raise TooLarge(
                f"{HIDDEN} and {CLASSIFIER} make too many logits",
                at="inputs",
                expected=f"at most {self._max_linear_logits} (LOSSD_MAX_LINEAR_LOGITS)",
                got=str(logits),
            )

    def _run(self, calls: Sequence[Call], have_company: bool) -> Sequence[Outcome]:
        return compute_together(calls) if have_company else [self._compute(calls[0])]

    def _compute(self, call: Call) -> Result:
        with self._bench() as bench:
            return bench.compute(call)

    def _work(self, job: Callable[[Bench], T]) -> T:
        with self._bench() as bench:
            try:
                return job(bench)
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
                raise OutOfMemory("no memory for this request") from err

    @contextmanager
    def _bench(self) -> Iterator[Bench]:
        """What one call has to itself: a lane, of which there is none on the CPU."""
        lane = self._idle.get()
        try:
            yield Bench(self.device, self.buffers, self._slices, lane, self._block_bytes)
        finally:
            self._idle.put(lane)
