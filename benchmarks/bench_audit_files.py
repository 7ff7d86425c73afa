"""`lossd audit` of a Parquet file from end to end: seconds, rows a second, and peak memory.

The file is 10 million rows of 10 classes (float32 lists), and a tenth of it is audited too, to show
that memory does not grow. The accuracy is checked first, against NumPy's. One JSON line per size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, CLASSES, SKILL = 10_000_000, 10, 2.0
GROUP_ROWS = 250_000


def write_predictions(path: Path, rows: int) -> int:
    """A made-up model's outputs; returns how many rows it has right."""
    random = np.random.default_rng(0)
    schema = pa.schema({"logits": pa.list_(pa.float32(), CLASSES), "label": pa.int64()})
    right = 0
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP_ROWS):
            n = min(GROUP_ROWS, rows - start)
            labels = random.integers(0, CLASSES, n)
            logits = random.standard_normal((n, CLASSES), np.float32)
            logits[np.arange(n), labels] += np.float32(SKILL)
            right += int((logits.argmax(1) == labels).sum())
            lists = pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), CLASSES)
            writer.write_batch(pa.record_batch([lists, pa.array(labels)], schema=schema))
    return right


def measure(path: Path, rows: int) -> dict[str, Any]:
    right = write_predictions(path, rows)
    command = [sys.executable, "-m", "lossd", "audit", str(path), "--format", "json"]
    started_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.perf_counter() - started_s
    assert status == 0
    assert report["metrics"]["accuracy"]["top_1"]["correct"] == right
    return {
        "bench": "audit_files",
        "rows": rows,
        "classes": CLASSES,
        "file_mib": round(path.stat().st_size / (1 << 20)),
        "metrics": sorted(report["metrics"]),
        "seconds": round(took_s, 2),
        "seconds_without_start": report["notes"]["seconds"],
        "rows_per_s": round(rows / took_s),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "cores": len(os.sched_getaffinity(0)),
    }


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args(argv).rows
    with tempfile.TemporaryDirectory() as folder:
        for size in (rows // 10, rows):
            print(json.dumps(measure(Path(folder) / "predictions.parquet", size)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
