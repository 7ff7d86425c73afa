"""lossd alone: the small call under more and more connections, and its memory over minutes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks._calls import call_of
from benchmarks._contenders import start
from benchmarks._dialects import LOSSD_JSON
from benchmarks._load import Connections, Slot
from benchmarks._load import load as send
from benchmarks._processes import Server, pinned_to
from benchmarks._rounds import Run

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
STEADY_CONNECTIONS = 16


def load(run: Run) -> Iterator[dict[str, Any]]:
    """32 x 10 in JSON, value, rows and gradients, 1 to 64 connections; then a steady run."""
    request = LOSSD_JSON.write(call_of(32, 10, wants_rows=True))
    with ExitStack() as stack:
        server = start("lossd", stack, run.venvs, cpus=run.server_cpus)
        server.resume()
        stack.enter_context(pinned_to(run.generator_cpus))
        slots: dict[int, list[Slot]] = {count: [] for count in CONNECTIONS}
        for _ in range(max(3, run.rounds // 3)):
            for count, mine in slots.items():
                mine.append(send(server.port, request, count, run.slot_s))
        for count, mine in slots.items():
            yield {
                "kind": "concurrency",
                "connections": count,
                "requests_per_s": round(median(each.requests_per_s for each in mine), 1),
                "p50_us": round(median(each.p50_us for each in mine), 1),
                "p99_us": round(median(each.p99_us for each in mine), 1),
                "generator_cpu_share": round(median(s.generator_cpu_share for s in mine), 3),
                "rounds": len(mine),
            }
        with Connections(server.port, request, STEADY_CONNECTIONS) as opened:
            yield from _steady(server, opened, 2 if run.quick else 180)


def _steady(server: Server, opened: Connections, duration_s: float) -> Iterator[dict[str, Any]]:
    """The server's memory about once a second, and its growth over the second half."""
    started_s = time.perf_counter()
    samples: list[tuple[float, float]] = []
    requests = 0
    while (now_s := time.perf_counter() - started_s) < duration_s:
        samples.append((now_s, server.memory_mib("VmRSS")))
        requests += opened.load(min(1.0, duration_s / 4)).requests
    half = samples[len(samples) // 2 :]
    minutes = (half[-1][0] - half[0][0]) / 60
    growth = (half[-1][1] - half[0][1]) / minutes if minutes else 0.0
    yield {
        "kind": "memory",
        "connections": STEADY_CONNECTIONS,
        "duration_s": round(now_s),
        "requests": requests,
        "rss_at_start_mib": round(samples[0][1], 1),
        "rss_at_half_mib": round(half[0][1], 1),
        "rss_at_end_mib": round(samples[-1][1], 1),
        "growth_in_second_half_mib_per_min": round(growth, 3),
        "samples_mib": [round(mib, 1) for _, mib in samples[:: max(1, len(samples) // 20)]],
    }
