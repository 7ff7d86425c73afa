"""Closed forms of the hot losses: value and gradient of a row in one pass over it.

A module named as a loss is its kernel. The loss's plain function stays the truth: every kernel is
held against it, and calls that no kernel takes go through it.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from lossd.engine.kernels._blocks import HasWork as HasWork
from lossd.engine.kernels._formula import HasFormula as HasFormula
from lossd.engine.kernels._job import FINE as FINE
from lossd.engine.kernels._job import OVERFLOW as OVERFLOW
from lossd.engine.kernels._job import SUSPECT as SUSPECT
from lossd.engine.kernels._job import Job as Job
from lossd.engine.kernels._job import Kernel as Kernel
from lossd.engine.kernels._job import Rows as Rows
from lossd.schema import Call


def _discover() -> dict[str, Kernel]:
    names = [each.name for each in pkgutil.iter_modules(__path__) if each.name[0] != "_"]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


KERNELS: Mapping[str, Kernel] = MappingProxyType(_discover())


def kernel_for(call: Call) -> Kernel | None:
    """The kernel that computes a call on the CPU; None if its plain function does."""
    kernel = KERNELS.get(call.spec.name)
    return kernel if kernel is not None and kernel.applies(call) else None
