"""What every piece of a state can do."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Piece(Protocol):
    """Merging is commutative and associative, and leaves nothing of the order of what was merged.

    The arrays of a piece, too, are the same whatever the order: states are compared byte for byte.
    """

    def merge(self, other: Self) -> None:
        """Take in what another piece holds."""

    def arrays(self) -> Arrays:
        """What is kept of it in a file."""

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`, `TypeError` where it cannot be."""
