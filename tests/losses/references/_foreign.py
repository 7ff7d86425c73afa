"""Pieces of other people's files whose packages drag in models that a loss does not need."""

import ast
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


@contextmanager
def float64_by_default() -> Iterator[None]:
    """For code that makes tensors of its own constants, or says `.float()`."""
    narrow = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign, assignment] # undone below
    yield
    torch.Tensor.float = narrow  # type: ignore[method-assign] # as it was
    torch.set_default_dtype(torch.float32)


def function_alone(package: str, file: str, name: str, given: dict[str, Any]) -> Any:
    """One function or method of an installed file, compiled by itself in the names `given`."""
    tree = _tree(package, file)
    node = next(x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef) and x.name == name)
    node.decorator_list = []
    names = dict(given)
    exec(compile(ast.Module([_without_hints(node)], []), file, "exec"), names)
    return names[name]


def class_alone(package: str, file: str, name: str, given: dict[str, Any]) -> Any:
    """One class of an installed file, compiled by itself in the names `given`."""
    tree = _tree(package, file)
    node = next(x for x in ast.walk(tree) if isinstance(x, ast.ClassDef) and x.name == name)
    names = dict(given) | {"__name__": file}
    future = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*future, node], []), file, "exec"), names)
    return names[name]


def statement_alone(package: str, file: str, function: str, starts: str) -> Callable[..., Any]:
    """The statement of a function that begins with `starts`: run on names, it gives names."""
    tree = _tree(package, file)
    inside = next(
        x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef) and x.name == function
    )
    node = next(
        x for x in ast.walk(inside) if isinstance(x, ast.stmt) and ast.unparse(x).startswith(starts)
    )
    code = compile(ast.Module([node], []), file, "exec")

    def run(**names: Any) -> dict[str, Any]:
        exec(code, names)
        return names

    return run


def _without_hints(node: ast.FunctionDef) -> ast.FunctionDef:
    node.returns = None
    for each in [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]:
        each.annotation = None
    return node


def _tree(package: str, file: str) -> ast.Module:
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations
    return ast.parse((Path(found.submodule_search_locations[0]) / file).read_text())
