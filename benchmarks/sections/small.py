"""The small call: 32 x 10 in JSON, value, rows and gradients."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks._calls import call_of
from benchmarks._dialects import LOSSD_JSON, OIP_JSON, flat, nothing
from benchmarks._rounds import Run, Way, compare, http_way

ROWS, CLASSES = 32, 10


def small_json(run: Run) -> Iterator[dict[str, Any]]:
    """32 x 10 in JSON, value, rows and gradients, 16 connections, one worker."""
    return compare("small_json", _ways(16, run), run)


def small_latency(run: Run) -> Iterator[dict[str, Any]]:
    """32 x 10 in JSON, value, rows and gradients, one connection, one worker."""
    return compare("small_latency", _ways(1, run), run)


def _ways(connections: int, run: Run) -> Sequence[Way]:
    call = call_of(ROWS, CLASSES, wants_rows=True)
    how = {
        "lossd": ("lossd", LOSSD_JSON),
        "plain": ("plain", flat("/cross_entropy")),
        "plain_dict": ("plain", flat("/as_dict")),
        "empty": ("empty", nothing("/")),
        "litserve": ("litserve", flat("/cross_entropy")),
        "mlserver": ("mlserver", OIP_JSON),
        "triton": ("triton", OIP_JSON),
    }
    return [
        http_way(name, server, dialect, call, connections=connections, run=run)
        for name, (server, dialect) in how.items()
    ]
