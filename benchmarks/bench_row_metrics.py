"""What each metric of an audit costs: CPU time by row, of one thread. A JSON line for each shape.

`python -m benchmarks.bench_row_metrics [--rows 1000000]`
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from lossd.audit import Audit, Setup
from lossd.audit.chunk import chunk_of
from lossd.audit.rows import measure
from lossd.audit.state import State

_ROUNDS = 3
_BLOCK_ELEMENTS = 1 << 18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    for classes in (2, 10, 100, 1000):
        for scores in ("logits", "probabilities"):
            few = max(64, rows * 10 // max(10, classes))
            print(json.dumps(_measured(few, classes, scores)), flush=True)


def _measured(rows: int, classes: int, scores: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    z = random.normal(size=(rows, classes)).astype(np.float32)
    labels = random.integers(0, classes, rows)
    z[np.arange(rows), labels] += 2
    if scores == "probabilities":
        z = np.exp(z)
        z /= z.sum(1, keepdims=True)
    setup = Setup(scores=scores, slices=("slice",))
    slices = {"slice": random.integers(0, 50, rows)}
    chunk = chunk_of(setup, z, labels, first_row=0, slices=slices)
    size = max(1, _BLOCK_ELEMENTS // classes)
    blocks = [chunk.rows(slice(a, a + size)) for a in range(0, rows, size)]
    best: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for name, spent_s in _one_round(setup, classes, blocks).items():
            best[name] = min(spent_s, best.get(name, spent_s))
    _check(setup, z, labels, slices)
    ns = {name: round(spent_s / rows * 1e9, 1) for name, spent_s in best.items()}
    shape = {"rows": rows, "classes": classes, "scores": scores}
    return shape | {"cpu_ns_per_row": ns, "all": round(sum(ns.values()), 1)}


def _one_round(setup: Setup, classes: int, blocks: list[Any]) -> dict[str, float]:
    state, spent_s = State(setup), defaultdict[str, float](float)
    pieces = {each.name: each.start(setup, classes) for each in state.metrics}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started_s = time.thread_time()
        found = work()
        spent_s[name] += time.thread_time() - started_s
        return found

    for block in blocks:
        rows = timed("measure", lambda block=block: measure(block, setup.scores))
        for each in state.metrics:
            timed(each.name, lambda each=each, rows=rows: each.add(pieces[each.name], rows, setup))
    return dict(spent_s)


def _check(setup: Setup, scores: Any, labels: Any, slices: Any) -> None:
    """The answer first: the mean loss and the accuracy are numpy's."""
    with Audit(setup) as audit:
        audit.add(scores, labels, slices=slices)
        found = audit.report().results
    wide = scores.astype(np.float64)
    if setup.scores == "logits":
        wide = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    loss = -np.log(wide[np.arange(len(labels)), labels]).mean()
    assert abs(found["loss"]["mean"] - loss) < 1e-9 * loss
    assert found["accuracy"]["top_1"]["correct"] == (scores.argmax(1) == labels).sum()


if __name__ == "__main__":
    main()
