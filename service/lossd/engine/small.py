"""Small calls, on the event loop: what does not depend on their numbers is worked out once.

Callers repeat themselves, so what is worked out for the first call of a plan is kept with it. The
bits are those of `compute_by_kernel`: the same compiled function gets the same arguments.
"""

import time

import torch

from lossd.engine.compute import compute, pick_kernel
from lossd.engine.straight import Straight, straight_of
from lossd.schema import Call, Plan, Result

MOST_ELEMENTS = 64 * 1024  # a kernel is done with so many before a thread would have begun
_MOST_PLANS = 256


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
        if call.plan is None:
            return kernel is not None, None
        found = (kernel is not None, None if kernel is None else straight_of(kernel, call))
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        self._plans[call.plan] = found
        return found


def _is_contiguous(call: Call) -> bool:
    """Whether tensors are as a compiled function takes them, and nobody gave more to write to."""
    if call.places or call.row_weights is not None or call.cotangent is not None:
        return False
    return all([x.is_contiguous() for x in call.inputs.values()])
