"""What a kernel is asked for, and where it writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lossd.schema import Call

FINE, SUSPECT, OVERFLOW = 0, 1, 2  # a kernel's findings, as bits
Rows = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Job:
    """Buffers for one call, none for what nobody asked for.

    - `outer`: what each item's value counts in what is answered, as (rows, 1), as the items'
      own (rows, ...) where a cotangent differs within rows, or as (1, 1) where all count alike.
      The gradient of an item is its outer times the derivative of its value.
    - `values`: every value as (rows, items per row), unweighted; only where a row has several.
    - `sums`: the sum of each row's values, (rows,).
    - `gradients`: by the key of the input, in its shape; float32, or the bits of float16 as uint16
      and of bfloat16 as int16.
    - `log_sum_exp`, `factor`: per item, where the call wants a recipe in place of the gradient of
      the logits (see `SoftmaxRecipe`); factor includes outer.
    """

    outer: NDArray[np.float32]
    sums: NDArray[np.float64]
    values: NDArray[np.float32] | None = None
    gradients: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    log_sum_exp: NDArray[np.float64] | None = None
    factor: NDArray[np.float64] | None = None


class Kernel(Protocol):
    """A module of this folder that is named as its loss: value and gradient in one pass."""

    def applies(self, call: Call) -> bool:
        """Whether it can compute this call. By the call's properties alone, never its numbers."""
        ...

    def weigh(self, call: Call) -> NDArray[np.float64] | float:
        """The items' shares of the denominator: one for all, or (rows,) or (rows, items per row).

        Inputs are not checked yet: a bad label counts for nothing.
        """
        ...

    def bind(self, call: Call, job: Job) -> Rows:
        """A function that computes rows from `start` to `stop`, on any thread.

        It returns `FINE`, or `SUSPECT` if anything in these rows may be what a check of the values
        would refuse (what it wrote is then of no account), or `OVERFLOW` if a gradient is too large
        for its dtype. It reads no memory outside its arrays whatever they hold, even while they
        change: labels are read once, and checked before they are used as an index.
        """
        ...
