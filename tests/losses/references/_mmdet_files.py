"""Files of mmdet's losses, without the detectors and the registry that the package brings."""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution
from types import ModuleType
from typing import Any


class _Registry:
    def register_module(self) -> Any:
        return lambda cls: cls


def mmdet_file(name: str) -> Any:
    """The module `mmdet.models.losses.<name>`."""
    for package in ("mmdet", "mmdet.models", "mmdet.models.losses"):
        if package not in sys.modules:
            place = str(distribution("mmdet").locate_file(package.replace(".", "/")))
            made = ModuleType(package)
            made.__path__ = [place]
            made.__spec__ = ModuleSpec(package, None, is_package=True)
            made.__spec__.submodule_search_locations = [place]
            sys.modules[package] = made
    if "mmdet.registry" not in sys.modules:
        registry = ModuleType("mmdet.registry")
        registry.MODELS = _Registry()  # type: ignore[attr-defined] # a stand-in
        sys.modules["mmdet.registry"] = registry
    return importlib.import_module(f"mmdet.models.losses.{name}")
