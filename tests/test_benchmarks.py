"""The benchmarks that check more than time: run small."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_stream_leaves_the_memory_of_both_sides_alone() -> None:
    command = [sys.executable, "-m", "benchmarks.bench_streams", "--rows", "200000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["way"] for line in lines] == ["rows", "rows_and_gradients", "rows_windowed"]
    for line in lines:
        assert line["rows"] == 200_000 and line["rows_per_s"] > 0
        assert line["service_growth_mib"] < 200 and line["client_growth_mib"] < 100
