"""lossd alone: each format at three sizes, in time, bytes and phases."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks._calls import call_of, check
from benchmarks._contenders import start
from benchmarks._dialects import FORMATS
from benchmarks._load import Connections, Response
from benchmarks._processes import pinned_to
from benchmarks._rounds import Run

SIZES = ((32, 10), (64, 1000), (4096, 1000))


def formats(run: Run) -> Iterator[dict[str, Any]]:
    """Value, rows and gradients in every format, one connection; phases by `Server-Timing`."""
    sizes = SIZES[:2] if run.quick else SIZES
    with ExitStack() as stack:
        server = start("lossd", stack, run.venvs, cpus=run.server_cpus)
        server.resume()
        stack.enter_context(pinned_to(run.generator_cpus))
        for rows, classes in sizes:
            given = call_of(rows, classes, wants_rows=True)
            requests = {name: dialect.write(given) for name, dialect in FORMATS.items()}
            got: dict[str, list[Response]] = defaultdict(list)
            for name, request in requests.items():
                with Connections(server.port, request, 1) as opened:
                    check(name, given, FORMATS[name].read(opened.call()))
            for _ in range(run.rounds):
                for name, request in requests.items():
                    with Connections(server.port, request, 1) as opened:
                        opened.call()
                        got[name] += [opened.call() for _ in range(3)]
            for name, answers in got.items():
                yield {
                    "kind": "format",
                    "format": name,
                    "shape": [rows, classes],
                    "request_bytes": len(requests[name].body),
                    "response_bytes": len(answers[0].body),
                    "p50_us": round(median(each.latency_us for each in answers), 1),
                    **_phases(answers),
                }


def _phases(answers: list[Response]) -> dict[str, float]:
    """The median of each phase that the server states, in microseconds."""
    found: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for part in answer.headers.get("server-timing", "").split(","):
            name, _, rest = part.strip().partition(";dur=")
            if rest:
                found[name].append(1e3 * float(rest))
    return {f"{name}_us": round(median(times), 1) for name, times in found.items()}
