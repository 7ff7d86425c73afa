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


def test_an_audit_takes_no_more_memory_the_more_rows_it_is_fed() -> None:
    options = ["--only", "lossd", "--rows", "30000", "--rounds", "1", "--memory-rows", "3000000"]
    command = [sys.executable, "-m", "benchmarks.bench_audit", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *times, memory = [json.loads(line) for line in done.stdout.splitlines()]
    tasks = ["default", "label_issues", "two_passes"]
    assert [line["task"] for line in times] == tasks and memory["rows"] == 3_000_000
    assert memory["growth_after_first_chunk_mib"] < memory["target_mib"]
