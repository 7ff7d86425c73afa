"""Contenders in turn: every round gives each a slot, the others stand still meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._calls import Call, WrongAnswer, check
from benchmarks._contenders import start
from benchmarks._dialects import Dialect
from benchmarks._load import Connections, LoadFailed, Slot, call
from benchmarks._processes import Server, ServerFailed, pinned_to
from benchmarks._targets import TARGETS, ratio_line
from benchmarks._venvs import NoVenv

FAILURES = (LoadFailed, NoVenv, ServerFailed, WrongAnswer, OSError, subprocess.SubprocessError)


@dataclass(frozen=True)
class Run:
    """How a section is to be run.

    - `quick`: few and short rounds.
    - `contenders`: the servers that take part, all if None.
    """

    quick: bool
    venvs: Path
    contenders: frozenset[str] | None = None

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 21

    @property
    def slot_s(self) -> float:
        return 0.1 if self.quick else 0.4

    @property
    def server_cpus(self) -> set[int] | None:
        """The first core, if there is another for the load generator."""
        cpus = sorted(os.sched_getaffinity(0))
        return {cpus[0]} if len(cpus) > 1 else None

    @property
    def generator_cpus(self) -> set[int] | None:
        cpus = sorted(os.sched_getaffinity(0))
        return {cpus[1]} if len(cpus) > 1 else None


@dataclass(frozen=True)
class Way:
    """One way to make the call to one server: a slot of work, and a check of the answer."""

    name: str
    server: str
    slot: Callable[[Server], Slot]
    check: Callable[[Server], None]
    rows: int


@dataclass
class Measured:
    """The slots of a way, and what the server's processes spent on them."""

    way: Way
    slots: list[Slot] = field(default_factory=list)
    server_cpu_s: float = 0.0

    def figures(self, name: str) -> list[float]:
        if name == "rows_per_s":
            return [each.requests_per_s * self.way.rows for each in self.slots]
        return [getattr(each, name) for each in self.slots]

    def line(self, server: Server) -> dict[str, Any]:
        requests = sum(each.requests for each in self.slots)
        return {
            "kind": "contender",
            "contender": self.way.name,
            "server": self.way.server,
            "requests_per_s": round(median(self.figures("requests_per_s")), 2),
            "rows_per_s": round(median(self.figures("rows_per_s"))),
            "p50_us": round(median(self.figures("p50_us")), 1),
            "p99_us": round(median(self.figures("p99_us")), 1),
            "server_cpu_us_per_request": round(1e6 * self.server_cpu_s / requests, 1),
            "generator_cpu_share": round(median(self.figures("generator_cpu_share")), 3),
            "peak_rss_mib": round(server.memory_mib(), 1),
            "rounds": len(self.slots),
            "requests": requests,
        }


def http_way(
    name: str, server: str, dialect: Dialect, given: Call, *, connections: int, run: Run,
    slot_s: float | None = None, most_requests: int = 1 << 30,
    warm_up: bool = True,
) -> Way:  # fmt: skip
    """By the load generator, with the request's bytes ready."""
    request = dialect.write(given)
    duration_s = run.slot_s if slot_s is None else slot_s

    def verify(target: Server) -> None:
        try:
            answer = dialect.read(call(target.port, request))
        except (LookupError, TypeError, ValueError) as err:
            raise WrongAnswer(f"{name} answers in another shape: {err!r}") from err
        if answer is not None:
            check(name, given, answer)

    def slot(target: Server) -> Slot:
        with Connections(target.port, request, connections) as opened:
            return opened.load(duration_s, most_requests, warm_up=warm_up)

    return Way(name, server, slot, verify, len(given.labels))


def timed(step: Callable[[], Any], times: int) -> Slot:
    """A blocking call, once to warm up, then so many times by the clock."""
    step()
    latencies_us = []
    cpu_s, started_s = time.process_time(), time.perf_counter()
    for _ in range(times):
        before_s = time.perf_counter()
        step()
        latencies_us.append(1e6 * (time.perf_counter() - before_s))
    elapsed_s = time.perf_counter() - started_s
    return Slot(times, elapsed_s, latencies_us, time.process_time() - cpu_s)


def compare(
    section: str, ways: Sequence[Way], run: Run, *, pinned: bool = True,
    starts: Mapping[str, Callable[[ExitStack], Server]] | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Start, check, alternate, sum up. A contender that fails is out, with a line that says why.

    - `starts`: by name of a server, for those that `start` does not know.
    """
    cpus = run.server_cpus if pinned else None
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        failed: dict[str, str] = {}
        chosen = [w for w in ways if run.contenders is None or w.server in run.contenders]
        for name in dict.fromkeys(way.server for way in chosen):
            try:
                own = (starts or {}).get(name)
                servers[name] = own(stack) if own else start(name, stack, run.venvs, cpus=cpus)
            except FAILURES as err:
                failed |= {way.name: str(err) for way in chosen if way.server == name}
        ready = [way for way in chosen if way.server in servers]
        with pinned_to(run.generator_cpus if pinned else None):
            measured = _alternate(ready, servers, run, failed)
        for name, why in failed.items():
            print(f"{section}: {name}: {why}", file=sys.stderr)
            yield {"kind": "defeat", "contender": name, "why": why[:300]}
        for each in measured.values():
            yield each.line(servers[each.way.server])
        yield from _ratios(section, measured)


def _alternate(
    ways: Sequence[Way], servers: Mapping[str, Server], run: Run, failed: dict[str, str]
) -> dict[str, Measured]:
    measured = {way.name: Measured(way) for way in ways}
    for turn in range(-1, run.rounds):
        for way in ways[turn % max(1, len(ways)) :] + ways[: turn % max(1, len(ways))]:
            if way.name in failed:
                continue
            server, mine = servers[way.server], measured[way.name]
            server.resume()
            try:
                if turn < 0:
                    way.check(server)
                else:
                    before_s = server.cpu_s
                    mine.slots.append(way.slot(server))
                    mine.server_cpu_s += server.cpu_s - before_s
            except FAILURES as err:
                failed[way.name] = f"{type(err).__name__}: {err}"
            finally:
                server.pause()
    return {name: each for name, each in measured.items() if name not in failed}


def _ratios(section: str, measured: Mapping[str, Measured]) -> Iterator[dict[str, Any]]:
    for target in TARGETS:
        if target.section == section:
            sides = [measured[name].figures(target.figure) if name in measured else None
                     for name in (target.mine, target.theirs)]  # fmt: skip
            yield ratio_line(target, *sides)
