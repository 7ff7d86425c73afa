"""A model's outputs in files of every kind, and the command line called in process."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from audit.chunks import everything
from lossd.audit import Audit, Setup
from lossd.cli import main

ROOT = Path(__file__).parents[2]
ROWS, CLASSES = 700, 4
FIELDS = everything(ROWS, CLASSES)
LOGITS, LABELS = FIELDS["scores"], FIELDS["labels"]
NAMES = ("cat", "dog", "eel", "fox")


def lossd(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        code = int(str(end.code))
    out, err = capsys.readouterr()
    return code, out, err


def found_by(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """The report as JSON, without what may differ each time."""
    code, out, err = lossd(capsys, "audit", *words, "--format", "json")
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    assert report.pop("notes")["seconds"] >= 0
    return report


def expected(fields: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    with Audit(Setup(**options)) as audit:
        audit.add(**(fields or {"scores": LOGITS, "labels": LABELS}))
        report = json.loads(audit.report().to_json())
    del report["notes"]
    return dict(report)


def lists(x: Any) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])


def table(**more: Any) -> Any:
    return pa.table({"logits": lists(LOGITS), "label": LABELS, **more})


def wide() -> Any:
    """A column for each class, as people have them in CSV; the tenth after the ninth."""
    columns = {f"p_{name}": LOGITS[:, j].astype(np.float64) for j, name in enumerate(NAMES)}
    return pa.table({**columns, "label": np.array(NAMES)[LABELS]})


def write_parquet(path: Path) -> None:
    pq.write_table(table(), path, row_group_size=64)


def write_ipc(path: Path) -> None:
    with pa.ipc.new_file(str(path), table().schema) as writer:
        writer.write_table(table(), max_chunksize=64)


def json_lines() -> bytes:
    rows = zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    return "".join(json.dumps({"logits": z, "label": y}) + "\n" for z, y in rows).encode()


FORMATS: dict[str, Callable[[Path], Any]] = {
    "p.parquet": write_parquet,
    "p.arrow": write_ipc,
    "p.feather": write_ipc,
    "p.jsonl": lambda path: path.write_bytes(json_lines()),
    "p.ndjson.gz": lambda path: path.write_bytes(gzip.compress(json_lines())),
    "p.npz": lambda path: np.savez(path, logits=LOGITS, label=LABELS),
    "q.npz": lambda path: np.savez_compressed(path, logits=LOGITS, label=LABELS),
    "p.safetensors": lambda path: safetensors.numpy.save_file(
        {"logits": LOGITS, "label": LABELS}, path
    ),
}
