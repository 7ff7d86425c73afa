"""Two audits side by side."""

from typing import Any

from lossd.audit.state import State


def compare(a: State, b: State) -> dict[str, Any]:
    """What changed from `a`, the baseline, to `b`, the candidate: JSON values.

    Raises `BadOption` where the two cannot be compared: other classes, no rows.
    """
    raise NotImplementedError
