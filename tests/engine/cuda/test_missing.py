"""What a machine lacks for kernels is told, and the plain functions do without them."""

import importlib.util
from pathlib import Path

import pytest
import torch

from lossd.engine.cuda.kernels import kernel_names, missing_for_kernels


def test_this_machine_lacks_nothing() -> None:
    assert missing_for_kernels() is None
    assert {"cross_entropy", "focal", "kl_divergence", "mse"} <= kernel_names()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_on_cuda_a_compiler_and_headers_are_needed(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert missing_for_kernels() == "a C compiler"
    (tmp_path / compiler).touch(mode=0o755)
    assert missing_for_kernels() == "the headers of Python"
    (tmp_path / "Python.h").touch()
    assert missing_for_kernels() is None


def test_without_triton_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_for_kernels() == "triton"
    assert kernel_names.__wrapped__() == frozenset()
