"""What every codec reads and writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Message:
    """Named tensors on the CPU, and plain JSON values beside them.

    A tensor in a group is named `group/name`. `untyped` names the tensors whose format did not
    state a dtype: they hold int64 if every number was written as an integer, else float64.
    """

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Any] = field(default_factory=dict)
    untyped: frozenset[str] = frozenset()
