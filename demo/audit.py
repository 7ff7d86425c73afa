"""The audit of a model's outputs whose labels are partly wrong: how many of these it finds."""

import contextlib
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.digits import Array
from lossd.cli import main

FOLDER = Path("build") / "demo-audit"
SHARE_WRONG = 0.08


@dataclass(frozen=True)
class Audited:
    """What the command said, where its report is, and how many of the wrong labels it listed."""

    said: str
    report: Path
    injected: int
    listed: int
    found: int

    def __str__(self) -> str:
        recall, precision = self.found / self.injected, self.found / max(self.listed, 1)
        return (
            f"labels made wrong: {self.injected}; found: {self.found} ({recall:.0%}); "
            f"listed: {self.listed}, of which wrong: {precision:.0%}\nreport: {self.report}"
        )


def audit(logits: Array, labels: Array) -> Audited:
    """Give some held-out labels another class, and audit them with `lossd audit`."""
    random = np.random.default_rng(0)
    wrong = random.choice(len(labels), round(SHARE_WRONG * len(labels)), replace=False)
    given = labels.copy()
    given[wrong] = (given[wrong] + random.integers(1, 10, len(wrong))) % 10
    FOLDER.mkdir(parents=True, exist_ok=True)
    predictions = FOLDER / "predictions.npz"
    np.savez(predictions, logits=logits, label=given)
    words = ["audit", str(predictions), "--out", str(FOLDER), "--two-pass", "--format", "text"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(words)
    if code:
        raise SystemExit(f"demo: lossd audit ended with {code}")
    with (FOLDER / "issues.csv").open() as file:
        listed = {int(row["id"]) for row in csv.DictReader(file)}
    found = len(listed & set(wrong.tolist()))
    report = FOLDER.resolve() / "report.html"
    return Audited(said.getvalue(), report, len(wrong), len(listed), found)
