"""Streams of the asynchronous client: the same answers, several calls at once, cancelled whole."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import running
from lossd.app import create_app
from lossd.settings import Settings
from lossd_client import AsyncClient, Client, OutOfRange, Retry

ROWS = 600
LOGITS = np.random.default_rng(0).standard_normal((ROWS, 5), np.float32)
LABELS = np.random.default_rng(1).integers(0, 5, ROWS)


def parts(size: int = 50) -> Iterator[dict[str, Any]]:
    for a in range(0, ROWS, size):
        rows = slice(a, a + size)
        yield {"id": np.arange(ROWS)[rows], "logits": LOGITS[rows], "labels": LABELS[rows]}


async def awaited_parts() -> AsyncIterator[dict[str, Any]]:
    for each in parts():
        await asyncio.sleep(0)
        yield each


def table() -> Any:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(LOGITS.ravel()), 5)
    return pa.table({"id": np.arange(ROWS), "logits": flat, "labels": LABELS})


@pytest.mark.parametrize("kind", ["iterator", "asynchronous iterator", "table", "file"])
@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_the_answers_are_those_of_the_blocking_client_and_in_order(
    url: str, tmp_path: Path, kind: str, ahead: int
) -> None:
    pq.write_table(table(), tmp_path / "x.parquet")
    sources = {"iterator": parts, "asynchronous iterator": awaited_parts, "table": table}
    given = tmp_path / "x.parquet" if kind == "file" else sources[kind]()

    async def streamed() -> tuple[list[Any], Any]:
        async with AsyncClient(url) as client:
            stream = client.stream(
                "cross_entropy", given, outputs=["gradients"], ahead=ahead, most_batch_bytes=2000
            )
            return [each async for each in stream], stream.summary

    answers, summary = asyncio.run(streamed())
    with Client(url) as client:
        stream = client.stream("cross_entropy", parts(), outputs=["gradients"])
        want = list(stream)
    for name in ("id", "rows", "gradients.logits"):
        got = np.concatenate([each[name] for each in answers])
        np.testing.assert_allclose(got, np.concatenate([each[name] for each in want]), rtol=1e-6)
    assert summary.value == pytest.approx(stream.summary.value, rel=1e-12)
    assert summary.count == ROWS and summary.batches == len(answers)


def test_no_more_calls_are_under_way_than_ahead(url: str) -> None:
    under_way: list[int] = []

    class Counting(httpx.AsyncHTTPTransport):
        count = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.count += 1
            under_way.append(self.count)
            try:
                return await super().handle_async_request(request)
            finally:
                self.count -= 1

    async def streamed() -> int:
        async with AsyncClient(url, transport=Counting()) as client:
            return (await client.stream("cross_entropy", parts(), ahead=3).read_to_end()).count

    assert asyncio.run(streamed()) == ROWS and max(under_way) == 3


@pytest.mark.parametrize("how", ["aclose", "async with", "cancel", "error"])
def test_who_stops_reading_leaves_nothing_behind(how: str) -> None:
    app = create_app(Settings(threads=1))

    async def forever() -> AsyncIterator[dict[str, Any]]:
        while True:
            for each in parts():
                yield each
            if how == "error":
                raise ZeroDivisionError

    async def streamed(url: str) -> None:
        async with AsyncClient(url) as client:
            stream = client.stream("cross_entropy", forever(), ahead=5)
            if how == "cancel":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(stream.read_to_end(), 0.2)
            elif how == "error":
                with pytest.raises(ZeroDivisionError):
                    await stream.read_to_end()
            else:
                async with stream:
                    assert len(await anext(stream)) == 50
                    if how == "aclose":
                        await stream.aclose()
            with pytest.raises(RuntimeError, match="not read to its end"):
                _ = stream.summary
            assert len(asyncio.all_tasks()) == 1
            while app.state.admission.requests:
                await asyncio.sleep(0.01)

    with running(app.state.settings, app) as url:
        asyncio.run(streamed(url))


def test_an_error_names_the_callers_batch(url: str) -> None:
    wrong = {"id": [1, 2], "logits": LOGITS[:2], "labels": np.array([0, 9])}

    async def streamed() -> None:
        async with AsyncClient(url) as client:
            await client.stream("cross_entropy", [*parts(), wrong, *parts()]).read_to_end()

    with pytest.raises(OutOfRange) as caught:
        asyncio.run(streamed())
    assert caught.value.at == f"batches[{ROWS // 50}].labels" and caught.value.indices == [[1]]


def test_nothing_and_too_little(url: str) -> None:
    async def streamed(given: Any) -> Any:
        async with AsyncClient(url) as client:
            stream = client.stream("cross_entropy", given)
            return [len(each) async for each in stream], stream.summary

    lengths, summary = asyncio.run(streamed(table().slice(0, 0)))
    assert lengths == [0] and summary.value is None
    with pytest.raises(ValueError, match="no batches"):
        asyncio.run(streamed([]))


def test_a_call_that_was_refused_for_now_is_repeated() -> None:
    with running(Settings(max_queue=1, threads=1)) as url, Client(url) as other:
        holding = other.stream("cross_entropy", parts())
        next(holding)

        async def sleep(pause_s: float) -> None:
            holding.close()  # so the only place is free from now on
            await asyncio.sleep(0.01)

        async def streamed() -> int:
            async with AsyncClient(url, retry=Retry(times=1000), sleep=sleep) as client:
                return (await client.stream("cross_entropy", parts(), ahead=2).read_to_end()).count

        assert asyncio.run(streamed()) == ROWS
        assert list(holding) == []
