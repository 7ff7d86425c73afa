"""How all calls of a plan go through one compiled function, without a look at anything again."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.fused import narrowed, outer_of, shape_of_items
from lossd.engine.kernels import FINE, HasFormula, HasWork, Kernel
from lossd.engine.kernels._blocks import NO_LABELS, NO_ROWS, NOBODY_ASKED, Work
from lossd.engine.kernels._formula import Formula
from lossd.engine.reduce import reduce_sums
from lossd.schema import Call, Result
from lossd.schema.options import Reduction

Given = Mapping[str, NDArray[Any]]


class Found(NamedTuple):
    """The sum of each row, every item's value if these are wanted, and gradients."""

    sums: NDArray[np.float64]
    rows: NDArray[np.float32] | None
    gradients: dict[str, NDArray[np.float32]]


Compute = Callable[[Given], Found | None]


@dataclass(frozen=True, slots=True)
class Straight:
    """What the calls of a plan have in common.

    - `compute`: takes contiguous arrays, those of `floats` as float32; None where something in
      these numbers may have to be refused, or what constants were made of has changed.
    - `count`: items of a call.
    """

    compute: Compute
    reduction: Reduction
    denominator: float
    count: int
    wants_rows: bool
    floats: tuple[str, ...]

    def run(self, call: Call) -> Result | None:
        """The result; None if the call is to be looked at more closely."""
        found = self.compute({key: x.numpy() for key, x in call.inputs.items()})
        if found is None:
            return None
        total = float(np.add.reduce(found.sums))
        value, _, warnings = reduce_sums(self.reduction, total, self.denominator)
        return Result(
            value=value,
            sum=total,
            denominator=self.denominator,
            count=self.count,
            rows=None if found.rows is None else torch.from_numpy(found.rows),
            gradients={key: torch.from_numpy(x) for key, x in found.gradients.items()},
            warnings=warnings,
        )


def straight_of(kernel: Kernel, call: Call) -> Straight | None:
    """None where a call's numbers decide more than the arguments, or its arrays are not plain."""
    # Constants are views of weights, and the memory of a request is its sender's.
    call = replace(call, inputs={key: x.clone() for key, x in call.inputs.items()})
    options, (rows, per_row) = call.options, shape_of_items(call)
    weights = kernel.weigh(call)
    plain = (
        options.gradient_form == "dense"
        and options.mining is None
        and not call.extras
        and options.gradient_dtype in (None, "float32")
        and not isinstance(weights, np.ndarray)
        and all(x.dtype == torch.float32 for x in call.inputs.values() if x.is_floating_point())
    )
    if not plain:
        return None
    denominator = float(weights) * per_row * rows
    outer = outer_of(call, rows, None, 1.0 / denominator if call.reduction == "mean" else 1.0)
    if isinstance(kernel, HasWork) and per_row == 1 and options.class_axis == 1:
        work = kernel.work(call)
        taken, compute = {*work.inputs, work.labels}, _by_work(work, call, outer)
        if any([call.inputs[key].ndim != 2 for key in work.inputs if key in call.inputs]):
            return None
    elif isinstance(kernel, HasFormula) and call.item_shape != ():
        formula = kernel.formula(call)
        taken, compute = {formula.first, formula.second}, _by_formula(formula, call, outer)
    else:
        return None
    if not taken.issuperset(call.wrt):
        return None
    beside = {key: x.numpy().tobytes() for key, x in call.inputs.items() if key not in taken}
    return Straight(
        _only_beside(beside, compute) if beside else compute,
        call.reduction,
        denominator,
        rows * per_row,
        "rows" in options.outputs,
        tuple(key for key, x in call.inputs.items() if x.is_floating_point()),
    )


def _only_beside(beside: Mapping[str, bytes], compute: Compute) -> Compute:
    """Of calls whose other inputs, say weights of classes, are what constants were made of."""

    def compute_so(given: Given) -> Found | None:
        for key, text in beside.items():
            if given[key].tobytes() != text:
                return None
        return compute(given)

    return compute_so


def _by_work(work: Work, call: Call, outer: NDArray[np.float32]) -> Compute:
    tail = (NOBODY_ASKED, NOBODY_ASKED) if work.has_recipe else ()
    wants_rows, wrt, flat = "rows" in call.options.outputs, call.wrt, outer.reshape(-1)
    shape, rows = call.item_shape, math.prod(call.item_shape)

    def compute(given: Given) -> Found | None:
        floats = [given.get(key, NO_ROWS) for key in work.inputs]
        labels = given.get(work.labels, NO_LABELS)
        sums = np.empty(rows)
        gradients = {key: np.empty(given[key].shape, np.float32) for key in wrt}
        slopes = [gradients.get(key, NO_ROWS) for key in work.wrt]
        found = work.core(*floats, labels, *work.constants, flat, sums, *tail, *slopes)
        if found != FINE:
            return None
        return Found(sums, narrowed(sums).reshape(shape) if wants_rows else None, gradients)

    return compute


def _by_formula(formula: Formula, call: Call, outer: NDArray[np.float32]) -> Compute:
    first, second = formula.first, formula.second
    rows, per_row = shape_of_items(call)
    wants_rows, wrt = "rows" in call.options.outputs, call.wrt
    shape, bind = call.item_shape, formula.prepare(per_row, outer).bind

    def compute(given: Given) -> Found | None:
        sums = np.empty(rows)
        values = np.empty(shape, np.float32) if wants_rows and per_row > 1 else None
        gradients = {key: np.empty(given[key].shape, np.float32) for key in wrt}
        if bind(given[first], given[second], sums, values, gradients)(0, rows) != FINE:
            return None
        if wants_rows and values is None:
            values = narrowed(sums).reshape(shape)
        return Found(sums, values, gradients)

    return compute
