"""An audit of 1,000,000 x 10 float32 logits in memory, beside those that do parts of it.

- `lossd default`: every default metric; `lossd label_issues`: that metric alone, in one pass;
  `lossd two_passes`: the exact list of issues. From float32 logits.
- `cleanlab ...`: its label issues; `torchmetrics quality`: cross-entropy, accuracy, calibration
  error, confusion, precision and recall; `evidently preset`: its classification preset, which is
  asked once. All of them are given the probabilities, ready.

Each is a process of its own, in an environment below `--venvs` (or `--python NAME=PATH`). Answers
are compared first; then contenders take turns. At the end `--memory-rows` rows are audited chunk by
chunk, and the growth of the process is recorded. One JSON line each; units are in the names.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._venvs import AUDITORS, DEFAULT_FOLDER, NoVenv, python_of
from benchmarks._workers import Worker, WorkerFailed
from lossd.audit import Audit

CLASSES, CHUNK_ROWS = 10, 1_000_000
TASKS: Mapping[str, Sequence[str]] = {
    "lossd": ("default", "label_issues", "two_passes"),
    "cleanlab": ("confident_learning", "low_self_confidence", "default"),
    "torchmetrics": ("quality",),
    "evidently": ("preset",),
}
ONCE = frozenset({"evidently"})  # a turn takes minutes
TARGET_S = {("lossd", "default"): 0.6, ("lossd", "label_issues"): 0.15}
MEMORY_TARGET_MIB = 100
Answers = Mapping[tuple[str, str], Mapping[str, Any]]


def outputs(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits of a good model, and labels of which 8 % are wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, CLASSES, rows)
    logits = random.standard_normal((rows, CLASSES), np.float32)
    logits[np.arange(rows), truth] += 4.5
    wrong = random.random(rows) < 0.08
    labels = np.where(wrong, (truth + random.integers(1, CLASSES, rows)) % CLASSES, truth)
    return logits, labels


def check(answers: Answers) -> Iterator[dict[str, Any]]:
    """Compare what they say of the same rows. Raises `AssertionError` where they must agree."""
    mine = answers["lossd", "default"]
    if theirs := answers.get(("torchmetrics", "quality")):
        # float32 on their side, which this many rows do not yet spoil.
        assert abs(mine["accuracy"] - theirs["accuracy"]) < 1e-6, (mine, theirs)
        for key, within in (("ece", 1e-3), ("loss", 1e-5)):
            if mine[key] is not None:
                assert abs(mine[key] - theirs[key]) < within, (key, mine, theirs)
    if theirs := answers.get(("evidently", "preset")):
        assert abs(mine["accuracy"] - theirs["accuracy"]) < 1e-9, (mine, theirs)
    if theirs := answers.get(("cleanlab", "confident_learning")):
        exact = set(answers["lossd", "two_passes"]["issues"])
        other = set(theirs["issues"])
        one_pass = answers["lossd", "label_issues"]
        shared = len(exact & other) / max(len(exact | other), 1)
        assert shared > 0.9999, shared
        assert one_pass["count_bounds"][0] <= len(other) <= one_pass["most_by_any_rule"]
        yield {
            "kind": "agreement", "issues_of_cleanlab": len(other),
            "issues_in_two_passes": len(exact), "jaccard": shared,
            "issues_in_one_pass": one_pass["count"],
            "one_pass_bounds": one_pass["count_bounds"],
        }  # fmt: skip


def _pythons(given: Any) -> Iterator[tuple[str, Path]]:
    """Interpreters of those that take part, and a word on those that cannot."""
    own = dict(each.split("=", 1) for each in given.python)
    yield "lossd", Path(sys.executable)
    for name in TASKS:
        if name == "lossd" or name not in (given.only or TASKS):
            continue
        try:
            path = Path(own[name]) if name in own else python_of(name, given.venvs, AUDITORS)
        except NoVenv as err:
            print(f"without {name}: {err}", file=sys.stderr)
            continue
        yield name, path


def compare(given: Any) -> Iterator[dict[str, Any]]:
    logits, labels = outputs(given.rows)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        data = str(Path(folder) / "data.npz")
        np.savez(data, logits=logits, labels=labels)
        workers = {
            name: stack.enter_context(Worker(name, python, [data]))
            for name, python in _pythons(given)
        }
        ways = [(name, task) for name in workers for task in TASKS[name]]
        first = {(name, task): workers[name].do(task) for name, task in ways}
        yield from check({way: said["answer"] for way, said in first.items()})
        versions = {name: worker.version for name, worker in workers.items()}
        taken = {way: [said] if way[0] in ONCE else [] for way, said in first.items()}
        for _ in range(given.rounds):
            for name, task in ways:
                if name not in ONCE:
                    taken[name, task].append(workers[name].do(task))
    for (name, task), said in taken.items():
        took_s = sorted(each["took_s"] for each in said)
        target = TARGET_S.get((name, task)) if given.rows == CHUNK_ROWS else None
        yield {
            "kind": "time", "contender": name, "version": versions[name], "task": task,
            "rows": given.rows, "classes": CLASSES,
            "p50_s": round(median(took_s), 4), "least_s": round(took_s[0], 4),
            "rounds": len(took_s), "peak_rss_mib": max(each["peak_rss_mib"] for each in said),
            "target_s": target,
        }  # fmt: skip


def memory(rows: int) -> dict[str, Any]:
    """Growth of a process that audits so many rows, after the first chunk of them."""
    chunks = [outputs(CHUNK_ROWS, seed) for seed in range(2)]
    started_s = time.perf_counter()
    with Audit() as audit:
        for i in range(max(rows // CHUNK_ROWS, 1)):
            audit.add(*chunks[i % 2])
            if i == 0:
                before_mib = _resident_mib()
        report = audit.report()
        size = len(audit.state().save())
        after_mib = _resident_mib()
    return {
        "kind": "memory", "rows": report.rows, "classes": CLASSES,
        "growth_after_first_chunk_mib": round(after_mib - before_mib, 1),
        "state_mib": round(size / (1 << 20), 2), "target_mib": MEMORY_TARGET_MIB,
        "took_s": round(time.perf_counter() - started_s, 1),
        "metrics": sorted(report.results),
    }  # fmt: skip


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", choices=list(TASKS), metavar="CONTENDER")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--venvs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--memory-rows", type=int, default=100_000_000, help="0 leaves it out")
    given = parser.parse_args(arguments)
    about = {"bench": "audit", "cores": len(os.sched_getaffinity(0))}
    for line in compare(given):
        print(json.dumps({**about, **line}), flush=True)
    if given.memory_rows:
        command = [sys.executable, "-c", _MEMORY.format(rows=given.memory_rows)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=AUDITORS.parents[1])
        if done.returncode:
            raise WorkerFailed(done.stderr[-2000:])
        print(json.dumps({**about, **json.loads(done.stdout)}), flush=True)


_MEMORY = (
    "import json; from benchmarks.bench_audit import memory; print(json.dumps(memory({rows})))"
)

if __name__ == "__main__":
    main(sys.argv[1:])
