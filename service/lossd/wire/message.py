"""What every codec reads and writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Body = bytes | bytearray | memoryview
Parts = Sequence[bytes | memoryview]  # of one body, to be sent one after another


@dataclass(frozen=True, slots=True)
class Message:
    """Named tensors on the CPU, and plain JSON values beside them.

    A tensor in a group is named `group/name`. `untyped` names the tensors whose format did not
    state a dtype: they hold int64 if every number was written as an integer, else float64.
    `scalars` are tensors without dimensions: float64 or int64. No codec reads any.
    """

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Any] = field(default_factory=dict)
    untyped: frozenset[str] = frozenset()
    scalars: Mapping[str, float | int] = field(default_factory=dict)

    @property
    def all_tensors(self) -> dict[str, Tensor]:
        """The scalars as tensors, and the tensors."""
        scalars = {
            name: torch.tensor(x, dtype=torch.int64 if isinstance(x, int) else torch.float64)
            for name, x in self.scalars.items()
        }
        return {**scalars, **self.tensors}
