"""What a loss of pairs is asked for: similarities come in blocks of rows, gradients go back so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.memory import Buffers
from lossd.engine.pairs._sides import InSlices, Side
from lossd.schema import Call


@dataclass(frozen=True, slots=True)
class Room:
    """Memory for similarities: of one block of rows, and of as many blocks as may be kept."""

    block_bytes: int = 8 << 20  # smaller ones leave matrix products too thin to be fast
    kept_bytes: int = 64 << 20


class Products:
    """left @ right.T, a block of rows at a time, and the gradients of both by it.

    left is (rows, features), right (columns, features). Where blocks are asked for `again`, as many
    as there is room for are kept, and the others are computed again. Gradients are only made of
    sides that have room for them.
    """

    def __init__(
        self, left: Side, right: Side, buffers: Buffers, room: Room, *, again: bool
    ) -> None:
        self._left, self._right = torch.from_numpy(left.ready), torch.from_numpy(right.ready)
        self._of_left, self._of_right = _tensor_of(left), _tensor_of(right)
        rows, columns = len(left.ready), len(right.ready)
        count = -(-rows // max(1, min(rows, room.block_bytes // (4 * columns))))
        edges = [rows * i // count for i in range(count + 1)]
        self._cuts = [slice(a, b) for a, b in pairwise(edges)]
        most = -(-rows // count)
        kept = min(count, max(1, room.kept_bytes // (4 * most * columns))) if again else 1
        self._rooms = buffers.take((kept, most, columns), np.float32)
        self._block_in: dict[int, int] = {}  # by the room that holds it
        self._is_first = True

    @property
    def differentiable(self) -> bool:
        """Whether there is anything to take gradients back to."""
        return self._of_left is not None or self._of_right is not None

    def blocks(self, *, backwards: bool = False) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Rows, and their similarities with every column; none after gradients took their place."""
        numbers = range(len(self._cuts))
        for i in reversed(numbers) if backwards else numbers:
            cut, place = self._cuts[i], min(i, len(self._rooms) - 1)
            block = self._rooms[place, : cut.stop - cut.start]
            if self._block_in.get(place) != i:
                torch.mm(self._left[cut], self._right.T, out=torch.from_numpy(block))
                self._block_in[place] = i
            yield cut, block

    def take_back(self, cut: slice, gradient: NDArray[np.float32]) -> None:
        """Carry the gradient of the block that was given last, and in its place, to both sides."""
        of_block = torch.from_numpy(gradient)
        if self._of_left is not None:
            torch.mm(of_block, self._right, out=self._of_left[cut])
        if self._of_right is not None:
            kept = 0 if self._is_first else 1
            self._of_right.addmm_(of_block.T, self._left[cut], beta=kept)
        self._is_first = False


def _tensor_of(side: Side) -> Tensor | None:
    return None if side.gradient is None else torch.from_numpy(side.gradient)


@dataclass(frozen=True, slots=True)
class Work:
    """One call of a loss, and where it writes.

    - `outer`: what each row's value counts in what is answered, (rows,).
    - `values`: (rows,).
    - `more`: gradients of what the products are not made of, by the inputs' keys.
    - `in_slices`: runs a function of start and stop over so many rows, of so many elements.
    """

    call: Call
    products: Products
    outer: NDArray[np.float32]
    values: NDArray[np.float64]
    in_slices: InSlices
    more: dict[str, Tensor] = field(default_factory=dict)

    def over_rows(
        self,
        cut: slice,
        block: NDArray[np.float32],
        part: Callable[[slice, NDArray[np.float32]], int],
    ) -> int:
        """Run a function of some rows, and their similarities, over a block's."""

        def rows(start: int, stop: int) -> int:
            return part(slice(cut.start + start, cut.start + stop), block[start:stop])

        return self.in_slices(rows, len(block), block.size)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Which inputs the products are made of: scale * left, and the right ones one after another.

    `scale_key` is the input that the scale is, if it is one. With `normalize` embeddings count by
    direction alone. With `again` the loss asks for blocks twice.
    """

    left: str
    right: tuple[str, ...]
    scale: float
    scale_key: str | None
    normalize: bool
    again: bool = False


class Loss(Protocol):
    """A module of this folder that is named as its loss."""

    def embeddings(self, call: Call) -> Embeddings:
        """What the products of a call are made of."""
        ...

    def run(self, work: Work) -> int:
        """Values and gradients. A kernel's finding: `SUSPECT` where a product is not finite."""
        ...
