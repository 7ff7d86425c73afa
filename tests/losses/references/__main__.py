"""`python -m references [loss...]`: write the cases files."""

import json
import sys
from pathlib import Path

from references import (
    batches,
    binary,
    classification,
    divergences,
    margins,
    pairs,
    penalties,
    regression,
    robust,
)

MODULES = (
    batches,
    binary,
    classification,
    divergences,
    margins,
    pairs,
    penalties,
    regression,
    robust,
)
CASES = {name: make for module in MODULES for name, make in module.CASES.items()}

if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(CASES):
        cases = [json.dumps(case, allow_nan=False) for case in CASES[name]()]
        text = "[\n  " + ",\n  ".join(cases) + "\n]\n"
        (Path(__file__).parents[1] / f"cases/{name}.json").write_text(text)
        print(f"{name}: {len(cases)} cases")
