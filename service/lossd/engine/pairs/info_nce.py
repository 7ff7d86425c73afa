"""InfoNCE: every row is a softmax over all columns; symmetric, every column is one over rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import NO_ROWS, NOBODY_ASKED
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._pairs import measure_columns, measure_rows, pull_both, settle_both
from lossd.engine.kernels._softmax import constants_of, labelled
from lossd.engine.pairs._work import Embeddings, Work
from lossd.schema import Call

_LOWEST = np.float32(-np.inf)


def embeddings(call: Call) -> Embeddings:
    """Scaled queries; keys, and negatives after them. Symmetric, columns are measured first."""
    params: Any = call.params
    given = call.inputs.get("logit_scale")
    return Embeddings(
        left="queries",
        right=("keys", "negatives") if "negatives" in call.inputs else ("keys",),
        scale=1.0 / params.temperature if given is None else given.item(),
        scale_key=None if given is None else "logit_scale",
        normalize=params.normalize,
        again=params.symmetric and bool(call.wrt),
    )


def run(work: Work) -> int:
    """Values and gradients."""
    params: Any = work.call.params
    return _both_ways(work) if params.symmetric else _one_way(work)


def _one_way(work: Work) -> int:
    """Each row is a softmax whose label is the row's own number."""
    own, constants = np.arange(len(work.values)), constants_of(None)
    wants_gradient = work.products.differentiable

    def pull(here: slice, z: NDArray[np.float32]) -> int:
        written = (work.values[here], NOBODY_ASKED, NOBODY_ASKED, z if wants_gradient else NO_ROWS)
        return int(labelled(z, own[here], *constants, work.outer[here], *written))

    for cut, block in work.products.blocks():
        if work.over_rows(cut, block, pull) & SUSPECT:
            return SUSPECT
        if wants_gradient:
            work.products.take_back(cut, block)
    return FINE


class _Sides:
    """What is measured of rows, and of the columns that are rows' own.

    `most` and `rest` are the largest, and the sum of e^(z - largest) but for the own one; `own` is
    the similarity of partners. After `settle`, `factors` are those of e^(z - largest) in the
    gradient, and `slopes` the gradient by `own`.
    """

    def __init__(self, count: int) -> None:
        self.own, self.slopes = np.empty(count, np.float32), np.empty(count, np.float32)
        self.most = np.full((2, count), _LOWEST)
        self.rest = np.zeros((2, count))
        self.factors = np.empty((2, count), np.float32)

    def measure(self, work: Work, cut: slice, block: NDArray[np.float32]) -> int:
        """Take a block in."""

        def rows(here: slice, z: NDArray[np.float32]) -> int:
            return int(measure_rows(z, here.start, self.most[0, here], self.rest[0, here]))

        def columns(start: int, stop: int) -> int:
            most, rest = self.most[1, start:stop], self.rest[1, start:stop]
            return int(measure_columns(block, cut.start, start, most, rest))

        self.own[cut] = block[:, cut].diagonal()
        found = work.over_rows(cut, block, rows)
        return found | work.in_slices(columns, self.own.size, block.size)

    def settle(self, work: Work) -> int:
        """Values, once every block has been measured."""
        most, rest, factors = self.most, self.rest, self.factors
        written = (work.values, *factors, self.slopes)
        return int(settle_both(self.own, most[0], rest[0], most[1], rest[1], work.outer, *written))

    def pull(self, work: Work, cut: slice, block: NDArray[np.float32]) -> int:
        """Turn similarities into gradients."""

        def rows(here: slice, z: NDArray[np.float32]) -> int:
            of_rows = (self.most[0, here], self.factors[0, here])
            of_columns = (self.most[1], self.factors[1])
            return int(pull_both(z, here.start, *of_rows, *of_columns, self.slopes[here]))

        return work.over_rows(cut, block, rows)


def _both_ways(work: Work) -> int:
    sides, found = _Sides(len(work.values)), FINE
    for cut, block in work.products.blocks():
        found |= sides.measure(work, cut, block)
        if found & SUSPECT:
            return found
    found |= sides.settle(work)
    if found & SUSPECT or not work.products.differentiable:
        return found
    for cut, block in work.products.blocks(backwards=True):
        found |= sides.pull(work, cut, block)
        work.products.take_back(cut, block)
    return found
