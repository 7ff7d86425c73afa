"""Threads that compute, and what waits for them."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lossd.errors import DeadlineExceeded
from lossd.schema import Call, Result

Outcome = Result | Exception
Run = Callable[[Sequence[Call], bool], Sequence[Outcome]]
Job = Callable[[], Any]


@dataclass(slots=True, eq=False)
class _Waiting:
    work: Call | Job
    has_company: bool
    elements: int
    answer: "asyncio.Future[Any]"
    queued_s: float
    timeout_s: float


class Lanes:
    """Each computes one call at a time, or some that are of one company.

    Nobody waits while a lane is idle. While all are busy, what may go together gathers; a lane that
    is done takes the oldest, and with it those of its company, up to `most_elements`. Whose caller
    has left is not computed. `run` gives one outcome per call; it is told whether they are of a
    company, even where one came alone. A job has its lane to itself, as a call without company has.
    """

    def __init__(self, count: int, run: Run, most_elements: int) -> None:
        self._count, self._run, self._most_elements = count, run, most_elements
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="lossd-lane")
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[_Waiting]] = {}
        self._busy = 0

    async def compute(
        self, call: Call, company: Hashable | None, elements: int, queued_s: float, timeout_s: float
    ) -> Result:
        """The result of a call that came at `queued_s`.

        Raises `DeadlineExceeded` if it could not start in time, and what came of it.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        mine = _Waiting(call, company is not None, elements, answer, queued_s, timeout_s)
        self._add(mine, mine if company is None else company)
        return await answer

    async def run(self, job: Job, timeout_s: float) -> Any:
        """What a job returns. Raises `DeadlineExceeded` if it could not start in time."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        mine = _Waiting(job, False, 0, answer, time.perf_counter(), timeout_s)
        self._add(mine, mine)
        return await answer

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _add(self, mine: _Waiting, company: Hashable) -> None:
        with self._lock:
            self._waiting.setdefault(company, deque()).append(mine)
            is_idle = self._busy < self._count
            self._busy += is_idle
        if is_idle:
            self._pool.submit(self._work)

    def _work(self) -> None:
        """Compute until nothing waits."""
        while True:
            with self._lock:
                taken = self._take()
                if not taken:
                    self._busy -= 1
                    return
            started_s = time.perf_counter()
            late = [each for each in taken if started_s - each.queued_s > each.timeout_s]
            ready = [each for each in taken if each not in late]
            _deliver(late, [_too_late(each, started_s) for each in late])
            _deliver(ready, self._outcomes(ready, started_s))

    def _take(self) -> list[_Waiting]:
        """The oldest that somebody still waits for, and its company; empty if there is none."""
        taken: list[_Waiting] = []
        while self._waiting and not taken:
            company, queue = next(iter(self._waiting.items()))
            elements = 0
            while queue and (not taken or elements + queue[0].elements <= self._most_elements):
                each = queue.popleft()
                if not each.answer.done():
                    taken.append(each)
                    elements += each.elements
            del self._waiting[company]
            if queue:
                self._waiting[company] = queue
        return taken

    def _outcomes(self, ready: Sequence[_Waiting], started_s: float) -> Sequence[Any]:
        calls = [each.work for each in ready if isinstance(each.work, Call)]
        try:
            if not calls:  # nothing, or a job, which comes alone
                return [each.work() for each in ready if not isinstance(each.work, Call)]
            outcomes = self._run(calls, ready[0].has_company)
        except Exception as err:  # whatever it is, those who wait must hear of it
            return [err] * len(ready)
        for each, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, Result):
                others = dict(outcome.seconds)
                outcome.seconds.clear()
                outcome.seconds.update({"queue": started_s - each.queued_s, **others})
        return outcomes


def _too_late(waiting: _Waiting, started_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        "the call could not start in time; nothing was computed",
        expected=f"within {waiting.timeout_s:g} s (LOSSD_TIMEOUT_S)",
        got=f"{started_s - waiting.queued_s:.1f} s",
    )


def _deliver(waiting: Sequence[_Waiting], outcomes: Sequence[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Any]]] = {}
    for each, outcome in zip(waiting, outcomes, strict=True):
        by_loop.setdefault(each.answer.get_loop(), []).append((each, outcome))
    for loop, pairs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: Sequence[tuple[_Waiting, Any]]) -> None:
    for each, outcome in pairs:
        if each.answer.done():
            continue  # its caller has left
        if isinstance(outcome, Exception):
            each.answer.set_exception(outcome)
        else:
            each.answer.set_result(outcome)
