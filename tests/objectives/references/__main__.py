"""`python -m references [method...]`: write the cases files."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULES = [
    importlib.import_module(f"references.{each.name}")
    for each in pkgutil.iter_modules([str(HERE)])
    if not each.name.startswith("_")
]
CASES = {name: make for module in MODULES for name, make in module.CASES.items()}

if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(CASES):
        cases = [json.dumps(case, allow_nan=False) for case in CASES[name]()]
        text = "[\n  " + ",\n  ".join(cases) + "\n]\n"
        (HERE.parent / f"cases/{name}.json").write_text(text)
        print(f"{name}: {len(cases)} cases")
