"""lossd against other servers that compute the same cross-entropy value and gradients.

`python -m benchmarks servers [--quick] [--only SECTION ...] [--contenders NAME ...]`

Every answer is compared with torch first. Then the contenders take turns, each pinned to one core
and the load generator to another, the others standing still; figures are medians of rounds, ratios
the median of the ratios round by round. The others' packages are installed below `--venvs`. What a
whole run measures is saved in `results/`, and docs/performance.md is written from it.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _record, report
from benchmarks._contenders import STARTS
from benchmarks._rounds import Run
from benchmarks._venvs import DEFAULT_FOLDER
from benchmarks.sections.formats import formats
from benchmarks.sections.large import large_binary, large_json
from benchmarks.sections.load import load
from benchmarks.sections.shared import shared_memory
from benchmarks.sections.small import small_json, small_latency
from benchmarks.sections.workers import workers

SECTIONS = {
    each.__name__: each
    for each in (
        small_json,
        small_latency,
        large_binary,
        large_json,
        shared_memory,
        formats,
        load,
        workers,
    )
}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks servers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few, short rounds; not saved")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", default=[])
    parser.add_argument("--contenders", nargs="+", choices=STARTS, metavar="NAME")
    parser.add_argument("--venvs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where to save")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end too
    chosen = None if given.contenders is None else frozenset(given.contenders)
    run = Run(given.quick, given.venvs, chosen)
    folder = given.results or (None if given.quick or chosen else _record.RESULTS)
    for name in given.only or SECTIONS:
        started_s = time.monotonic()
        lines = [_record.machine(quick=given.quick)]
        for line in SECTIONS[name](run):
            lines.append({"bench": "servers", "section": name, **line})
            print(json.dumps(lines[-1]), flush=True)
        if folder is not None:
            _record.save(folder, f"servers.{name}", lines)
        print(f"{name} took {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    if folder == _record.RESULTS:
        report.write()


if __name__ == "__main__":
    main(sys.argv[1:])
