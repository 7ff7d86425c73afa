"""Imports only go down. Same floor means strangers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = [
    {"compiled"},
    {"errors", "settings", "floats", "exponentials"},
    {"losses", "wire", "store"},
    {"schema"},
    {"engine"},
    {"audit", "objectives"},
    {"api"},
    {"app"},
    {"cli", "scale"},
    {"__main__"},
]
HEIGHT = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
ROOT = Path(__file__).parents[1] / "service/lossd"
FILES = sorted(ROOT.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The parts of lossd that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write the full path: from lossd.x import y"
            names = [node.module or ""]
            if names == ["lossd"]:
                names = [f"lossd.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = (name.split(".")[1] for name in names if name.startswith("lossd."))
        yield from (part for part in parts if part != "__version__")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down(file: Path) -> None:
    here = file.relative_to(ROOT).with_suffix("").parts[0]
    if here == "__init__":
        assert not list(imported(file))
        return
    for part in imported(file):
        assert part == here or HEIGHT[part] < HEIGHT[here], f"{here} may not import {part}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 80, f"{node.name} is too long"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "no bare except"
