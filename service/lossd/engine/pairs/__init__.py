"""Losses that compare every row with every other, in blocks of rows: value and gradient at once.

A module is named as its loss. The loss's plain function stays the truth, as it is for kernels.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from lossd.engine.pairs._work import Loss as Loss


def _discover() -> dict[str, Loss]:
    names = [each.name for each in pkgutil.iter_modules(__path__) if each.name[0] != "_"]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


PAIRED: Mapping[str, Loss] = MappingProxyType(_discover())
