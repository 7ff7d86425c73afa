"""The demonstration, as `make demo` runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lossd.losses import CATALOG


@pytest.mark.filterwarnings("default")
def test_the_demo_computes_every_loss_and_audits_the_outputs() -> None:
    root = Path(__file__).parents[1]
    paths = f"{root / 'service'}:{root / 'clients/python/src'}"
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table, _, audit = done.stdout.partition("\n\nAudit of the held-out outputs")
    rows = [line.split() for line in table.splitlines()[2:]]
    assert [row[0].rstrip("*") for row in rows] == sorted(CATALOG)
    assert any(not row[0].endswith("*") for row in rows)
    assert all(float(row[1]) == float(row[1]) and float(row[4]) > 0 for row in rows)
    assert "Traceback" not in done.stderr
    assert "look mislabelled" in audit and "labels made wrong: 36" in audit
    recall, precision = (int(share) for share in re.findall(r"(\d+)%", audit.splitlines()[-2]))
    assert recall >= 75 and precision >= 60
    report = Path(audit.splitlines()[-1].removeprefix("report: "))
    assert report.parent == root / "build" / "demo-audit"
    assert report.read_text().startswith("<!DOCTYPE html>")
