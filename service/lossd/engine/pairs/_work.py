"""What a loss of pairs is asked for: similarities come in blocks of rows, gradients go back so."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.memory import Buffers
from lossd.losses import LossParams
from lossd.schema import Call

Rows = Callable[[int, int], int]
InSlices = Callable[[Rows, int, int], int]


@dataclass(frozen=True, slots=True)
class Room:
    """Memory for similarities: of one block of rows, and of as many blocks as may be kept."""

    block_bytes: int = 4 << 20  # smaller ones leave matrix products too thin to be fast
    kept_bytes: int = 64 << 20


class Products:
    """left @ right.T, a block of rows at a time, and the gradients of both by it.

    left is (rows, features), right (columns, features). With `again`, blocks are asked for twice:
    as many as there is room for are then kept, the others are computed again.
    """

    def __init__(
        self, left: Tensor, right: Tensor, buffers: Buffers, room: Room, *, again: bool
    ) -> None:
        self._prepared = left, right
        self._left, self._right = left.detach(), right.detach()
        self._of_left = torch.empty_like(self._left) if left.requires_grad else None
        self._of_right = torch.zeros_like(self._right) if right.requires_grad else None
        rows, columns = len(left), len(right)
        most = max(1, min(rows, room.block_bytes // (4 * columns)))
        count = -(-rows // most)
        edges = [rows * i // count for i in range(count + 1)]
        self._cuts = [slice(a, b) for a, b in pairwise(edges)]
        most = -(-rows // count)
        kept = min(count, max(1, room.kept_bytes // (4 * most * columns))) if again else 1
        self._rooms = buffers.take((kept, most, columns), np.float32)
        self._found_in: dict[int, int] = {}  # the block that a room holds

    @property
    def differentiable(self) -> bool:
        """Whether there is anything to take gradients back to."""
        return self._of_left is not None or self._of_right is not None

    def blocks(self, *, backwards: bool = False) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Rows, and their similarities with every column. The last block that was seen is kept."""
        numbers = range(len(self._cuts))
        for i in reversed(numbers) if backwards else numbers:
            cut, place = self._cuts[i], min(i, len(self._rooms) - 1)
            block = self._rooms[place, : cut.stop - cut.start]
            if self._found_in.get(place) != i:
                torch.mm(self._left[cut], self._right.T, out=torch.from_numpy(block))
                self._found_in[place] = i
            yield cut, block

    def take_back(self, cut: slice, gradient: NDArray[np.float32]) -> None:
        """Carry the gradient of a block, which may be in the block's place, on to both sides."""
        self._found_in.clear()
        of_block = torch.from_numpy(gradient)
        if self._of_left is not None:
            torch.mm(of_block, self._right, out=self._of_left[cut])
        if self._of_right is not None:
            self._of_right.addmm_(of_block.T, self._left[cut])

    def gradients(self, leaves: list[Tensor]) -> tuple[Tensor, ...]:
        """What autograd makes of the gradients of both sides."""
        pairs = zip(self._prepared, (self._of_left, self._of_right), strict=True)
        known = [(side, x) for side, x in pairs if x is not None]
        if not leaves:
            return ()
        sides, found = [side for side, _ in known], [x for _, x in known]
        return torch.autograd.grad(sides, leaves, found, materialize_grads=True)


@dataclass(frozen=True, slots=True)
class Work:
    """One call of a loss, and where it writes.

    - `outer`: what each row's value counts in what is answered, (rows,).
    - `values`: (rows,).
    - `more`: gradients of inputs that the products are not made of, by their keys.
    - `in_slices`: runs a function of start and stop over so many rows, of so many elements.
    """

    call: Call
    arguments: Mapping[str, Any]
    products: Products
    outer: NDArray[np.float32]
    values: NDArray[np.float64]
    in_slices: InSlices
    more: dict[str, Tensor] = field(default_factory=dict)


class Loss(Protocol):
    """A module of this folder that is named as its loss."""

    def prepare(self, arguments: Mapping[str, Any], params: LossParams) -> tuple[Tensor, Tensor]:
        """Both sides of the products, (rows, features) and (columns, features), for autograd."""
        ...

    def passes(self, params: LossParams) -> int:
        """How often it asks for the blocks of a call that wants gradients or not."""
        ...

    def run(self, work: Work) -> int:
        """Values and gradients. A kernel's finding: `SUSPECT` where a product is not finite."""
        ...
