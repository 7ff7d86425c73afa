"""Small calls, on the event loop: what does not depend on their numbers is worked out once.

Callers repeat themselves, so what is worked out for the first call of a plan is kept with it. The
bits are those of `compute_by_kernel`: the same compiled function gets the same arguments.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.compute import compute, pick_kernel
from lossd.engine.fused import narrowed, outer_of, shape_of_items
from lossd.engine.kernels import FINE, HasWork, Kernel
from lossd.engine.kernels._blocks import NO_LABELS, NO_ROWS, NOBODY_ASKED, Work
from lossd.engine.reduce import reduce_sums
from lossd.schema import Call, Plan, Result
from lossd.schema.options import Reduction

MOST_ELEMENTS = 64 * 1024  # a kernel is done with so many before a thread would have begun
_MOST_PLANS = 256


@dataclass(frozen=True, slots=True)
class Straight:
    """How all calls of a plan go through one compiled function as they are.

    `floats` are the inputs that it takes as contiguous float32.
    """

    work: Work
    reduction: Reduction
    denominator: float
    outer: NDArray[np.float32]
    tail: tuple[NDArray[np.float64], ...]
    wants_rows: bool
    floats: tuple[str, ...]
    wrt: tuple[str, ...]

    def compute(
        self, given: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]] | None:
        """Values and gradients; None if something in these numbers may have to be refused."""
        work = self.work
        floats = [given.get(key, NO_ROWS) for key in work.inputs]
        labels = given.get(work.labels, NO_LABELS)
        sums = np.empty(len(floats[0]))
        gradients = {key: np.empty(given[key].shape, np.float32) for key in self.wrt}
        slopes = [gradients.get(key, NO_ROWS) for key in work.wrt]
        found = work.core(*floats, labels, *work.constants, self.outer, sums, *self.tail, *slopes)
        return (sums, gradients) if found == FINE else None

    def run(self, call: Call) -> Result | None:
        """The result; None if the call is to be looked at more closely."""
        found = self.compute({key: x.numpy() for key, x in call.inputs.items()})
        if found is None:
            return None
        sums, gradients = found
        total = float(np.add.reduce(sums))
        value, _, warnings = reduce_sums(self.reduction, total, self.denominator)
        return Result(
            value=value,
            sum=total,
            denominator=self.denominator,
            count=sums.size,
            rows=torch.from_numpy(narrowed(sums)) if self.wants_rows else None,
            gradients={key: torch.from_numpy(x) for key, x in gradients.items()},
            warnings=warnings,
        )


class SmallCalls:
    """Computes what is small and has a kernel; used by one thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._plans: dict[Plan, tuple[bool, Straight | None]] = {}

    def compute(self, call: Call, queued_s: float) -> Result | None:
        """The result of a call that came at `queued_s`, a time of `perf_counter`.

        None of one that is for a lane. Raises what `compute` raises.
        """
        plan = call.plan
        known = None if plan is None else self._plans.get(plan)
        is_small, straight = known or self._look_at(call)
        if not is_small:
            return None
        started_s = time.perf_counter()
        waited_s = started_s - queued_s
        if straight is not None and _is_contiguous(call):
            result = straight.run(call)
            if result is not None:
                result.seconds["queue"] = waited_s
                result.seconds["compute"] = time.perf_counter() - started_s
                return result
        result = compute(call, self._device)
        compute_s = result.seconds.pop("compute")
        result.seconds.update(queue=waited_s, compute=compute_s)
        return result

    def straight(self, call: Call) -> Straight | None:
        """How calls of this one's plan go straight, if they do."""
        known = self._plans.get(call.plan) if call.plan is not None else None
        return None if known is None else known[1]

    def _look_at(self, call: Call) -> tuple[bool, Straight | None]:
        kernel = pick_kernel(call, self._device) if call.elements <= MOST_ELEMENTS else None
        found = (kernel is not None, None if kernel is None else _straight(kernel, call))
        if call.plan is not None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[call.plan] = found
        return found


def _is_contiguous(call: Call) -> bool:
    """Whether tensors are as a compiled function takes them, and nobody gave more to write to."""
    if call.places or call.row_weights is not None or call.cotangent is not None:
        return False
    return all([x.is_contiguous() for x in call.inputs.values()])


def _straight(kernel: Kernel, call: Call) -> Straight | None:
    """None where a call's numbers decide more than the arguments, or its arrays are not plain."""
    options, (rows, _) = call.options, shape_of_items(call)
    weights = kernel.weigh(call)
    plain = (
        len(call.item_shape) == 1
        and options.gradient_form == "dense"
        and options.class_axis == 1
        and options.mining is None
        and not call.extras
        and options.gradient_dtype in (None, "float32")
        and not isinstance(weights, np.ndarray)
    )
    if not plain or not isinstance(kernel, HasWork):
        return None
    work = kernel.work(call)
    floats = [x for x in call.inputs.values() if x.is_floating_point()]
    if not call.inputs.keys() <= {*work.inputs, work.labels} or not all(map(_is_plain, floats)):
        return None
    denominator = float(weights) * rows
    outer = outer_of(call, rows, None, 1.0 / denominator if call.reduction == "mean" else 1.0)
    tail = (NOBODY_ASKED, NOBODY_ASKED) if work.has_recipe else ()
    wants_rows = "rows" in options.outputs
    return Straight(
        work,
        call.reduction,
        denominator,
        outer.reshape(-1),
        tail,
        wants_rows,
        tuple(key for key, x in call.inputs.items() if x.is_floating_point()),
        call.wrt,
    )


def _is_plain(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.ndim == 2
