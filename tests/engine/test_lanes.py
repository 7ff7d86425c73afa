"""What waits for a lane: by age, in company, and only while somebody still wants it."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
import torch

from lossd.engine import Engine
from lossd.engine.lanes import Lanes, Outcome
from lossd.errors import BadOption, DeadlineExceeded
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message


def call_of(number: float) -> Call:
    pair = {"prediction": torch.tensor([number]), "target": torch.zeros(1)}
    return parse_call("charbonnier", Message(pair))


def number_of(call: Call) -> float:
    return call.inputs["prediction"].item()


class Recorder:
    """Answers each call with its own number; what it was given stands in `groups`."""

    def __init__(self) -> None:
        self.groups: list[list[float]] = []
        self.gate, self.begun = threading.Event(), threading.Event()

    def run(self, calls: Sequence[Call], have_company: bool) -> Sequence[Outcome]:
        numbers = list(map(number_of, calls))
        self.groups.append(numbers)
        self.begun.set()
        self.gate.wait(10)
        return [
            BadOption("thirteen") if x == 13 else Result(x, x, 1.0, 1, None, {}) for x in numbers
        ]


async def behind_a_busy_lane(
    recorder: Recorder, lanes: Lanes, waiting: Sequence[tuple[float, object]], timeout_s: float = 9
) -> list["asyncio.Task[Result]"]:
    """Calls that came while call 0 was computed. The gate is still closed."""

    def begin(number: float, company: object, timeout_s: float) -> "asyncio.Task[Result]":
        now_s = time.perf_counter()
        return asyncio.create_task(lanes.compute(call_of(number), company, 8, now_s, timeout_s))

    tasks = [begin(0, None, 9)]
    await asyncio.to_thread(recorder.begun.wait, 10)
    tasks += [begin(number, company, timeout_s) for number, company in waiting]
    await asyncio.sleep(0)
    return tasks


def answers(
    recorder: Recorder, waiting: Sequence[tuple[float, object]], most: int = 1000
) -> list[float]:
    async def all_of_them() -> list[float]:
        lanes = Lanes(1, recorder.run, most)
        tasks = await behind_a_busy_lane(recorder, lanes, waiting)
        recorder.gate.set()
        found = [(await each).sum for each in tasks]
        lanes.close()
        return found

    return asyncio.run(all_of_them())


def test_while_a_lane_is_busy_what_is_alike_gathers_behind_the_oldest() -> None:
    recorder = Recorder()
    assert answers(recorder, [(1, "a"), (2, None), (3, "a"), (4, "b"), (5, "a")]) == list(range(6))
    assert recorder.groups == [[0], [1, 3, 5], [2], [4]]


def test_a_group_is_bounded_by_its_work() -> None:
    recorder = Recorder()
    assert answers(recorder, [(n, "a") for n in range(1, 6)], most=16) == list(range(6))
    assert recorder.groups == [[0], [1, 2], [3, 4], [5]]


def test_while_a_lane_is_idle_nothing_waits() -> None:
    recorder = Recorder()
    recorder.gate.set()

    async def one_after_another() -> None:
        lanes = Lanes(2, recorder.run, 1000)
        for number in range(3):
            got = await lanes.compute(call_of(number), "a", 8, time.perf_counter(), 9)
            assert got.sum == number and list(got.seconds) == ["queue"]
        lanes.close()

    asyncio.run(one_after_another())
    assert recorder.groups == [[0], [1], [2]]


def test_whose_caller_has_left_is_not_computed() -> None:
    recorder = Recorder()

    async def leave() -> None:
        lanes = Lanes(1, recorder.run, 1000)
        tasks = await behind_a_busy_lane(recorder, lanes, [(1, "a"), (2, "a"), (3, None)])
        tasks[1].cancel()
        tasks[3].cancel()
        await asyncio.sleep(0)
        recorder.gate.set()
        assert (await tasks[2]).sum == 2
        lanes.close()

    asyncio.run(leave())
    assert recorder.groups == [[0], [2]]


def test_one_callers_error_and_one_callers_deadline_are_their_own() -> None:
    recorder = Recorder()

    async def fail() -> None:
        lanes = Lanes(1, recorder.run, 1000)
        tasks = await behind_a_busy_lane(recorder, lanes, [(13, "a"), (2, "a")])
        late = await behind_a_busy_lane(recorder, lanes, [(3, "a")], timeout_s=0.0)
        recorder.gate.set()
        with pytest.raises(BadOption):
            await tasks[1]
        assert (await tasks[2]).sum == 2
        with pytest.raises(DeadlineExceeded, match="nothing was computed"):
            await late[1]
        await late[0]
        lanes.close()

    asyncio.run(fail())
    assert recorder.groups[1] == [13, 2]


def test_a_bug_reaches_all_who_wait_and_the_lane_goes_on() -> None:
    def run(calls: Sequence[Call], have_company: bool) -> Sequence[Outcome]:
        raise ZeroDivisionError

    async def twice() -> None:
        lanes = Lanes(1, run, 1000)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await lanes.compute(call_of(1), "a", 8, time.perf_counter(), 9)
        lanes.close()

    asyncio.run(twice())


def test_a_loop_that_is_gone_does_not_stop_a_lane() -> None:
    recorder = Recorder()
    lanes = Lanes(1, recorder.run, 1000)

    async def abandon() -> None:
        await behind_a_busy_lane(recorder, lanes, [(1, "a")])

    asyncio.run(abandon())
    recorder.gate.set()

    async def afterwards() -> float:
        return (await lanes.compute(call_of(2), None, 8, time.perf_counter(), 9)).sum

    assert asyncio.run(afterwards()) == 2
    lanes.close()


def test_many_callers_of_a_real_engine_get_what_they_would_get_alone() -> None:
    engine = Engine("cpu", lanes=1, threads=1)
    numbers = [float(n) for n in range(40)]

    async def all_at_once() -> list[Result]:
        return list(
            await asyncio.gather(*(engine.submit(call_of(n), timeout_s=30) for n in numbers))
        )

    async def one_by_one() -> list[Result]:
        return [await engine.submit(call_of(n), timeout_s=30) for n in numbers]

    for one, other in zip(asyncio.run(all_at_once()), asyncio.run(one_by_one()), strict=True):
        assert one.sum == other.sum
        assert torch.equal(one.gradients["prediction"], other.gradients["prediction"])
        assert list(one.seconds) == ["queue", "compute"]
    engine.close()


def test_a_job_waits_its_turn_has_a_lane_to_itself_and_its_own_errors() -> None:
    recorder = Recorder()

    def wrong() -> None:
        raise BadOption("fourteen")

    async def among_calls() -> None:
        lanes = Lanes(1, recorder.run, 1000)
        tasks = await behind_a_busy_lane(recorder, lanes, [(1, "a"), (2, "a")])
        jobs = [
            asyncio.create_task(lanes.run(lambda: threading.current_thread().name, 9)),
            asyncio.create_task(lanes.run(wrong, 9)),
            asyncio.create_task(lanes.run(lambda: recorder.groups.append([99]), 0.01)),
        ]
        await asyncio.sleep(0.05)  # until the last of them has waited too long
        recorder.gate.set()
        assert (await jobs[0]).startswith("lossd-lane")
        with pytest.raises(BadOption, match="fourteen"):
            await jobs[1]
        with pytest.raises(DeadlineExceeded, match="nothing was computed"):
            await jobs[2]
        assert [(await each).sum for each in tasks] == [0, 1, 2]
        lanes.close()

    asyncio.run(among_calls())
    assert recorder.groups == [[0], [1, 2]]
