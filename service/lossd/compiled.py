"""Numba, as it is used here: compiled once per machine, then read from a cache."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba

# A division by 0 gives what IEEE 754 says: a check for an exception would stop vectorisation.
_OPTIONS = {"nogil": True, "error_model": "numpy"}

# Sums may be taken in another order, which is what lets them be vectorised. NaN and infinities keep
# their meaning: they are how a kernel notices what must not be there.
SUMS = frozenset({"reassoc", "nsz", "contract"})
EXACT = frozenset({"contract"})  # for what another order of operations would spoil


def compiled(signature: str, flags: frozenset[str] = EXACT) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for one signature, to run without the interpreter lock.

    One signature only: two compilations of one source may differ in their last bits.
    """

    def compile_it(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {"fastmath": set(flags), **_OPTIONS}
        try:
            with _own_cache(Path(function.__code__.co_filename).parent):
                return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError as err:  # there is no folder in which it could be kept
            if "cache" not in str(err):
                raise
            return numba.njit(signature, **options)(function)

    return compile_it


def inlined(flags: frozenset[str] = EXACT) -> Callable[[Callable[..., Any]], Any]:
    """A function that only kernels call, of their types; loops that call it are vectorised."""

    def compile_it(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {"fastmath": set(flags), "forceinline": True, **_OPTIONS}
        return numba.njit(**options)(function)

    return compile_it


def called(flags: frozenset[str] = EXACT) -> Callable[[Callable[..., Any]], Any]:
    """A function that only kernels call, of their types; it stays one, so that it compiles once."""

    def compile_it(function: Callable[..., Any]) -> Any:
        return numba.njit(fastmath=set(flags), no_cpython_wrapper=True, **_OPTIONS)(function)

    return compile_it


@contextmanager
def _own_cache(sources: Path) -> Iterator[None]:
    """Keep what is compiled in a folder named after the text of all files beside the function's.

    Numba looks at a function's own file only, and would miss a change of what it calls, which may
    be in `exponentials` too.
    """
    before = numba.config.CACHE_DIR
    base = Path(before or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    numba.config.CACHE_DIR = str(base / f"lossd-{sources.name}-{_hash_of(sources)}")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@cache
def _hash_of(sources: Path) -> str:
    digest = hashlib.sha256()
    here = Path(__file__)
    for file in [here, here.with_name("exponentials.py"), *sorted(sources.glob("*.py"))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
