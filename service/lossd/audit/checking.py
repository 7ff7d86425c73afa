"""A check for a test suite: one call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lossd.audit.report import Report


def check(
    scores: ArrayLike, labels: ArrayLike, *, gates: Mapping[str, Any] | str | Path, **options: Any
) -> Report:
    """Audit, judge, and raise `AssertionError` where a gate fails."""
    raise NotImplementedError
