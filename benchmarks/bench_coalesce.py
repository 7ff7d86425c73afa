"""What small calls of a loss without a kernel gain where many wait at once, HTTP left out.

For each loss that may: `CALLS` calls of different numbers of rows through the engine, each waited
for before the next comes; and all at once, so that those that wait for the lane go together. Both
ways must give the same bits. Ways alternate; figures are medians of all rounds, per call. One JSON
line per loss, and one of all; units are in the names.
"""

import asyncio
import json
import platform
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from lossd.engine import Engine
from lossd.engine.together import company_of
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

CALLS, ALTERNATIONS, TIMEOUT_S = 16, 20, 60.0
CPU = torch.device("cpu")


def calls_of(name: str) -> list[Call]:
    """The rows of the loss's example, drawn again and again: some calls even, some of odd sizes."""
    example = example_call(CATALOG[name])
    draw = torch.Generator().manual_seed(0)
    params = {"params": example.params.model_dump(mode="json")}
    picks = [
        torch.randint(example.item_shape[0], ((32, 5, 64, 33)[i % 4],), generator=draw)
        for i in range(CALLS)
    ]
    return [
        parse_call(name, Message({key: x[each] for key, x in example.inputs.items()}, params))
        for each in picks
    ]


async def one_by_one(engine: Engine, calls: Sequence[Call]) -> list[Result]:
    return [await engine.submit(call, timeout_s=TIMEOUT_S) for call in calls]


async def all_at_once(engine: Engine, calls: Sequence[Call]) -> list[Result]:
    return await asyncio.gather(*(engine.submit(call, timeout_s=TIMEOUT_S) for call in calls))


def check(left: Sequence[Result], right: Sequence[Result]) -> None:
    for one, other in zip(left, right, strict=True):
        same = all(torch.equal(x, other.gradients[key]) for key, x in one.gradients.items())
        if one.sum != other.sum or not same:
            raise SystemExit("a call got other bits in company than alone")


async def measure(engine: Engine, name: str) -> dict[str, Any]:
    calls = calls_of(name)
    check(await one_by_one(engine, calls), await all_at_once(engine, calls))
    took_us: dict[str, list[float]] = {"one_by_one": [], "all_at_once": []}
    for _ in range(ALTERNATIONS):
        for way in (one_by_one, all_at_once):
            started_s = time.perf_counter()
            await way(engine, calls)
            took_us[way.__name__].append(1e6 * (time.perf_counter() - started_s) / CALLS)
    alone_us, together_us = (median(each) for each in took_us.values())
    return {
        "bench": "coalesce",
        "loss": name,
        "calls": CALLS,
        "one_by_one_us": round(alone_us, 1),
        "all_at_once_us": round(together_us, 1),
        "ratio": round(alone_us / together_us, 2),
    }


async def measure_all() -> None:
    engine = Engine("cpu", lanes=1, threads=1)
    ratios = []
    for name, spec in CATALOG.items():
        if company_of(example_call(spec), CPU) is not None:
            line = await measure(engine, name)
            ratios.append(line["ratio"])
            print(json.dumps(line), flush=True)
    engine.close()
    whole = {"bench": "coalesce", "losses": len(ratios), "median_ratio": median(ratios)}
    versions = {"torch": torch.__version__, "machine": platform.machine()}
    print(json.dumps({**whole, "least_ratio": min(ratios), **versions}))


def main() -> None:
    torch.set_num_threads(1)
    asyncio.run(measure_all())


if __name__ == "__main__":
    main()
