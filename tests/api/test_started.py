"""What is awaited may be begun before anybody waits for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from lossd.api._started import start

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def _twice(waited_for: "asyncio.Future[int]", seen: list[str]) -> int:
    try:
        number = await waited_for
        return await asyncio.sleep(0.001, number + 1)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_need_not_wait_is_done_at_once(run: Run) -> None:
    async def at_once() -> int:
        return 5

    async def begin() -> None:
        got = start(at_once())
        assert got.is_done and got.value == 5

    run(begin())


def test_what_waits_goes_on_where_it_was(run: Run) -> None:
    async def begin() -> None:
        number = asyncio.get_running_loop().create_future()
        begun = start(_twice(number, []))
        assert not begun.is_done
        asyncio.get_running_loop().call_later(0.001, number.set_result, 1)
        assert await begun.rest() == 2

    run(begin())


def test_an_error_and_a_timeout_reach_it(run: Run) -> None:
    async def begin() -> None:
        number, seen = asyncio.get_running_loop().create_future(), []
        begun = start(_twice(number, seen))
        asyncio.get_running_loop().call_later(0.001, number.set_exception, KeyError("x"))
        with pytest.raises(KeyError):
            await begun.rest()
        begun = start(_twice(asyncio.get_running_loop().create_future(), seen))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await begun.rest()
        assert seen == ["cancelled"]

    run(begin())


def test_an_error_before_it_waits_is_raised_at_once(run: Run) -> None:
    async def fails() -> None:
        raise KeyError("x")

    async def begin() -> None:
        with pytest.raises(KeyError):
            start(fails())

    run(begin())
