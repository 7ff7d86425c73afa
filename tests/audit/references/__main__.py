"""`python -m references [name...]`: write the cases files."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = [each.name for each in pkgutil.iter_modules([str(HERE)]) if not each.name.startswith("_")]

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        cases = importlib.import_module(f"references.{name}").cases()
        lines = [json.dumps(case, allow_nan=False) for case in cases]
        text = "[\n  " + ",\n  ".join(lines) + "\n]\n"
        (HERE.parent / f"cases/{name}.json").write_text(text)
        print(f"{name}: {len(lines)} cases")
