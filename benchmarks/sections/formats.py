"""lossd alone: each format at three sizes, in time, bytes and phases."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks._calls import Call, call_of, check
from benchmarks._contenders import start
from benchmarks._dialects import FORMATS
from benchmarks._load import Connections, Request, Response
from benchmarks._processes import Server, pinned_to
from benchmarks._rounds import Run

SIZES = ((32, 10), (64, 1000), (4096, 1000))
SLOW_US = 200_000


def formats(run: Run) -> Iterator[dict[str, Any]]:
    """Value, rows and gradients in every format, one connection; phases by `Server-Timing`."""
    with ExitStack() as stack:
        server = start("lossd", stack, run.venvs, cpus=run.server_cpus)
        server.resume()
        stack.enter_context(pinned_to(run.generator_cpus))
        for rows, classes in SIZES[:2] if run.quick else SIZES:
            given = call_of(rows, classes, wants_rows=True)
            requests = {name: dialect.write(given) for name, dialect in FORMATS.items()}
            for name, answers in _answers(server, given, requests, run.rounds).items():
                yield {
                    "kind": "format",
                    "format": name,
                    "shape": [rows, classes],
                    "request_bytes": len(requests[name].body),
                    "response_bytes": len(answers[0].body),
                    "p50_us": round(median(each.latency_us for each in answers), 1),
                    **_phases(answers),
                    "calls": len(answers),
                }


def _answers(
    server: Server, given: Call, requests: Mapping[str, Request], rounds: int
) -> Mapping[str, list[Response]]:
    """Every format in turn; the slow ones, JSON of megabytes, in a third of the rounds."""
    got: dict[str, list[Response]] = {name: [] for name in requests}
    slow = set()
    for name, request in requests.items():
        with Connections(server.port, request, 1) as opened:
            answer = opened.call()
        check(name, given, FORMATS[name].read(answer))
        if answer.latency_us > SLOW_US:
            slow.add(name)
    for turn in range(rounds):
        for name, request in requests.items():
            if name in slow and turn % 3:
                continue
            with Connections(server.port, request, 1) as opened:
                if name not in slow:
                    opened.call()
                got[name] += [opened.call() for _ in range(1 if name in slow else 3)]
    return got


def _phases(answers: list[Response]) -> dict[str, float]:
    """The median of each phase that the server states, in microseconds."""
    found: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for part in answer.headers.get("server-timing", "").split(","):
            name, _, rest = part.strip().partition(";dur=")
            if rest:
                found[name].append(1e3 * float(rest))
    return {f"{name}_us": round(median(times), 1) for name, times in found.items()}
