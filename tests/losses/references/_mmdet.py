"""Losses of mmdet, without the detectors and the registry that importing the package brings."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Registry:
    def register_module(self) -> Any:
        return lambda cls: cls


def mmdet_loss(file: str) -> Any:
    """The module `mmdet.models.losses.<file>`."""
    found = importlib.util.find_spec("mmdet")
    assert found is not None and found.submodule_search_locations
    root = Path(found.submodule_search_locations[0])
    for name in ("mmdet", "mmdet.models", "mmdet.models.losses"):
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, package)
    registry = ModuleType("mmdet.registry")
    registry.MODELS = _Registry()  # type: ignore[attr-defined] # a stand-in
    sys.modules.setdefault("mmdet.registry", registry)
    return importlib.import_module(f"mmdet.models.losses.{file}")
