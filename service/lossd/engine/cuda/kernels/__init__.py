"""Fused kernels in Triton: value and gradient of a row in one launch.

A module named as a loss is its kernel. It is imported when the first call needs it, so that a
service on the CPU does not load Triton. The loss's plain function stays the truth.
"""

import functools
import importlib
import importlib.util
import math
import os
import pkgutil
import shutil
import sysconfig
from pathlib import Path

import torch

from lossd.engine.cuda.kernels._job import DeviceJob as DeviceJob
from lossd.engine.cuda.kernels._job import DeviceKernel as DeviceKernel
from lossd.schema import Call


@functools.cache
def kernel_names() -> frozenset[str]:
    """The losses that have a kernel here; none where Triton is not complete."""
    if missing_for_kernels() is not None:
        return frozenset()
    return frozenset(each.name for each in pkgutil.iter_modules(__path__) if each.name[0] != "_")


def missing_for_kernels() -> str | None:
    """What Triton lacks on this machine: itself, or what it builds its link to CUDA with."""
    if importlib.util.find_spec("triton") is None:
        return "triton"
    if not torch.cuda.is_available():  # compiled and interpreted it needs no more
        return None
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "a C compiler"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "the headers of Python"
    return None


def kernel_for(call: Call) -> DeviceKernel | None:
    """The kernel that computes a call on a device; None if its plain function does.

    By the call's properties alone, never its numbers: those are refused that are not checked, or
    need float64, or have nothing to compute.
    """
    if (
        call.spec.name not in kernel_names()
        or call.options.nonfinite != "refuse"
        or call.compute_dtype != torch.float32
        or call.options.gradient_dtype == "float64"
        or not call.elements * math.prod(call.item_shape)
    ):
        return None
    kernel: DeviceKernel = importlib.import_module(f"{__name__}.{call.spec.name}")
    return kernel
