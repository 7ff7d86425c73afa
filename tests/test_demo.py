"""The demonstration, as `make demo` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lossd.losses import CATALOG


@pytest.mark.filterwarnings("default")
def test_the_demo_computes_every_loss_and_leaves_nothing_behind() -> None:
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
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0].rstrip("*") for row in rows] == sorted(CATALOG)
    assert any(not row[0].endswith("*") for row in rows)
    assert all(float(row[1]) == float(row[1]) and float(row[4]) > 0 for row in rows)
    assert "Traceback" not in done.stderr
