"""The files that the commands of docs/audit.md speak of."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit.chunks import outputs
from lossd.audit import Audit

PAGE = "docs/audit.md"
ROOT = Path(__file__).parents[1]
ROWS, CLASSES = 2000, 4
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)


def blocks(kind: str) -> list[str]:
    """The page's blocks of a language, or of a word beside it."""
    found = _FENCE.findall((ROOT / PAGE).read_text())
    return [body for language, mark, body in found if kind in (language, mark.strip())]


def prepare(folder: Path) -> None:
    """Predictions as a table and as JSON lines, the state of an earlier model, gates."""
    now, before = outputs(ROWS, CLASSES, seed=0), outputs(ROWS, CLASSES, seed=1)
    ids = np.arange(ROWS)
    logits = pa.FixedSizeListArray.from_arrays(pa.array(now["scores"].reshape(-1)), CLASSES)
    country = np.array(["de", "fr"])[ids % 2]
    table = pa.table({"id": ids, "logits": logits, "label": now["labels"], "country": country})
    pq.write_table(table, folder / "predictions.parquet", row_group_size=500)
    lines = [json.dumps({"logits": x["logits"], "label": x["label"]}) for x in table.to_pylist()]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    with Audit(has_ids=True) as audit:
        audit.add(before["scores"], before["labels"], ids=ids)
        (folder / "before.state").write_bytes(audit.state().save())
    (folder / "gates.toml").write_text(blocks("toml")[0])
