"""What a loss of one value per element is made of, and how a call of it is bound."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.kernels._arrays import as_array
from lossd.engine.kernels._elementwise import BLOCK, SIGNS
from lossd.engine.kernels._half import FLOAT32, words_of
from lossd.engine.kernels._job import SUSPECT, Job, Rows
from lossd.schema import Call

_ALL_ALIKE: NDArray[np.float32] = np.ones(BLOCK, np.float32)
_NO_FLOATS: NDArray[np.float32] = np.empty(0, np.float32)
_INT64 = np.dtype(np.int64)
_Words = tuple[NDArray[np.uint16], int]
_NOWHERE: _Words = np.empty(0, np.uint16), FLOAT32


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled function of rows, as `compiled_rows` makes it, and what it is called with.

    - `first`, `second`: the keys of its inputs.
    - `weights`: of a row's elements, as `weights_of` gives them; None if all count alike.
    - `shares`: whether the second input must be from 0 to 1.
    """

    rows: Callable[..., int]
    first: str
    second: str
    constants: tuple[float, ...] = ()
    weights: NDArray[np.float32] | None = None
    shares: bool = False

    def prepare(self, per_row: int, outer: NDArray[np.float32]) -> "Prepared":
        """What calls of a shape have in common; `outer` as `Job` has it."""
        weights = _ALL_ALIKE if self.weights is None else self.weights
        width = outer.reshape(-1), outer.shape[1]
        return Prepared(self, per_row, (weights, self.shares, _four(self.constants), width))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What calls of a formula and a shape have in common."""

    formula: Formula
    per_row: int
    fixed: tuple[Any, ...]

    def bind(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        sums: NDArray[np.float64],
        values: NDArray[np.float32] | None,
        gradients: Mapping[str, NDArray[Any]],
    ) -> Rows:
        """Rows of both inputs; what they write to is as `Job` has it."""
        formula = self.formula
        flat = _NO_FLOATS if values is None else values.reshape(-1)
        slopes = [_words_of(gradients.get(key)) for key in (formula.first, formula.second)]
        inputs = words_of(x), _words_or_signs(y)
        arguments = (self.per_row, *inputs, *self.fixed, sums, flat, *slopes)
        return partial(_run, formula.rows, arguments)


@runtime_checkable
class HasFormula(Protocol):
    """A kernel of one value per element."""

    def formula(self, call: Call) -> Formula:
        """What is called with what; by the call's properties and other weights alone."""
        ...


def applies(call: Call) -> bool:
    """Every call that a kernel may compute at all."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def binder(formula: Callable[[Call], Formula]) -> Callable[[Call, Job], Rows]:
    """The `bind` of a kernel whose `formula` says what is called with what."""

    def bind(call: Call, job: Job) -> Rows:
        """Rows of a call."""
        made = formula(call)
        prepared = made.prepare(math.prod(call.item_shape[1:]), job.outer)
        x, y = (as_array(call.inputs[key]) for key in (made.first, made.second))
        return prepared.bind(x, y, job.sums, job.values, job.gradients)

    return bind


def _run(rows: Callable[..., int], arguments: tuple[Any, ...], start: int, stop: int) -> int:
    return rows(start, stop, np.empty((6, BLOCK), np.float32), arguments)


def refused(*arguments: Any) -> int:
    """Stands for the rows of a call whose weights are to be looked at."""
    return SUSPECT


def weights_of(row: Tensor, per_row: int) -> NDArray[np.float32]:
    """Weights of the elements of one row, repeated for a block of short rows."""
    repeats = max(1, BLOCK // per_row)
    return np.tile(row.to(torch.float32).reshape(-1).numpy(), repeats)


@lru_cache(256)
def _four(constants: tuple[float, ...]) -> NDArray[np.float32]:
    """The constants, and zeros. Nobody writes to them."""
    return np.array((*constants, *[0.0] * (4 - len(constants))), np.float32)


def _words_or_signs(x: NDArray[Any]) -> _Words:
    return (x.reshape(-1).view(np.uint16), SIGNS) if x.dtype == _INT64 else words_of(x)


def _words_of(gradient: NDArray[Any] | None) -> _Words:
    return _NOWHERE if gradient is None else words_of(gradient)
