"""The loop of a worker: it does what it is told in a line, and says how long that took."""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

Task = Callable[[], Callable[[], Mapping[str, Any]]]


def serve(package: str, tasks: Mapping[str, Task]) -> None:
    """Work for a package. Each task returns how its answer is told, which the clock leaves out."""
    print(json.dumps({"version": version(package)}), flush=True)
    for line in sys.stdin:
        started_s = time.perf_counter()
        tell = tasks[line.strip()]()
        took_s = time.perf_counter() - started_s
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        said = {"took_s": took_s, "peak_rss_mib": round(peak_mib, 1), "answer": dict(tell())}
        print(json.dumps(said), flush=True)
