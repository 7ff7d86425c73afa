"""What each rule calls an issue, on balanced and imbalanced rows, and what one pass knows of it."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._workers import Worker
from lossd.audit import Audit
from lossd.audit.second_pass import RULES, SecondPass

# Name: classes, how much more frequent the first is than the last, how far the label's logit leads.
SETS = {
    "balanced": (10, 1.0, 4.5),
    "imbalanced 100 times": (10, 100.0, 3.0),
    "imbalanced 200 times": (50, 200.0, 4.0),
    "imbalanced 50 times, a poor model": (5, 50.0, 1.5),
}
NOISE = 0.08


def _made_up(
    rows: int, classes: int, ratio: float, lead: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Logits that know how frequent classes are, labels, and which of these are wrong."""
    random = np.random.default_rng(classes)
    shares = np.geomspace(1.0, 1.0 / ratio, classes)
    shares /= shares.sum()
    truth = random.choice(classes, rows, p=shares)
    noise = random.standard_normal((rows, classes))
    # The posterior of a class whose signal is `lead` high in noise of one deviation.
    noise[np.arange(rows), truth] += lead
    logits = lead * noise + np.log(shares)
    wrong = random.random(rows) < NOISE
    labels = np.where(wrong, (truth + random.integers(1, classes, rows)) % classes, truth)
    return logits.astype(np.float32), labels, wrong


def rules(rows: int, cleanlab: Path) -> Iterator[dict[str, Any]]:
    """A line for each set and rule. Raises `AssertionError` where the rule is not cleanlab's."""
    for name, (classes, ratio, lead) in SETS.items():
        logits, labels, wrong = _made_up(rows, classes, ratio, lead)
        shape = {"kind": "rule", "set": name, "rows": rows, "classes": classes}
        with Audit(metrics=("label_issues",), most_listed=rows) as audit:
            audit.add(logits, labels)
            state, result = audit.state(), audit.report().results["label_issues"]
        listed = np.array([each["id"] for each in result["listed"]])
        how = f"one pass, the first by {result['ranking']}"
        bounds = {"bounds": result["count_bounds"], "most_by_any_rule": result["most_by_any_rule"]}
        yield {**shape, "way": how, **_quality(listed, wrong), **bounds}
        theirs = _by_cleanlab(cleanlab, logits, labels)
        for rule in RULES:
            with SecondPass(state, rule=rule) as second:
                found = second.add(logits, labels).ids
            line = {**shape, "way": f"two passes, rule {rule}", **_quality(found, wrong)}
            union = len(np.union1d(found, theirs["confident_learning"]))
            shared = len(np.intersect1d(found, theirs["confident_learning"]))
            yield {**line, "jaccard_with_cleanlab": round(shared / union, 6)}
            if rule == "cleanlab":
                assert shared / union > 0.9999, (name, shared, union)
        for task, found in theirs.items():
            yield {**shape, "way": f"cleanlab {task}", **_quality(found, wrong)}


def _quality(found: NDArray[Any], wrong: NDArray[np.bool_]) -> dict[str, Any]:
    hits = int(wrong[found].sum())
    return {
        "issues": len(found),
        "precision": round(hits / max(len(found), 1), 4),
        "recall": round(hits / int(wrong.sum()), 4),
    }


def _by_cleanlab(
    python: Path, logits: NDArray[Any], labels: NDArray[Any]
) -> dict[str, NDArray[np.int64]]:
    tasks: Sequence[str] = ("confident_learning", "low_self_confidence")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, logits=logits, labels=labels)
        with Worker("cleanlab", python, [str(data)]) as worker:
            return {task: np.array(worker.do(task)["answer"]["issues"]) for task in tasks}
