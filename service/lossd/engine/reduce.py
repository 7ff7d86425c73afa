"""From sums to the value that is answered, and what to say about it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lossd.schema import Call, Warned
from lossd.schema.options import Reduction

_HALF = (torch.float16, torch.bfloat16)


def reduce_sums(
    reduction: Reduction, total: float, denominator: float
) -> tuple[float | None, float | None, tuple[Warned, ...]]:
    """The value, the factor from the sum to it (None: every gradient is 0), and warnings."""
    if reduction == "none":
        return None, 1.0, ()
    if reduction == "sum":
        return total, 1.0, _not_finite(total)
    if denominator:
        return total / denominator, 1.0 / denominator, _not_finite(total)
    if total == 0:
        detail = "nothing counts: the value is null and the gradients are 0"
        return None, None, (Warned("zero_denominator", detail),)
    detail = "the denominator is 0: the value is the sum over 1"
    return total, 1.0, (Warned("zero_denominator", detail), *_not_finite(total))


def denominator_of(
    call: Call, inputs: Mapping[str, Tensor], count: int, row_weights: Tensor | None
) -> float:
    """What a mean divides by: the sum of the shares of `count` items.

    `inputs` holds at least those that the shares are made of; `row_weights` has the items' shape.
    """
    if call.spec.weights is None:
        return float(count) if row_weights is None else _total(row_weights)
    wanted = {key: x for key, x in inputs.items() if key in call.spec.weights_inputs}
    with torch.no_grad():
        weights = call.spec.weights(**call.arguments(wanted), params=call.params)
    return _total(weights if row_weights is None else weights * row_weights)


def _total(x: Tensor) -> float:
    return x.sum(dtype=torch.float64).item()


def _not_finite(total: float) -> tuple[Warned, ...]:
    if abs(total) < float("inf"):
        return ()
    return (Warned("nonfinite_value", f"the sum is {total}"),)


def gradient_overflows(gradients: Mapping[str, Tensor]) -> tuple[Warned, ...]:
    """A warning for each gradient that is infinite because its dtype is too narrow."""
    return tuple(
        Warned("gradient_overflow", f"{key}: some gradients do not fit {x.dtype} and are infinite")
        for key, x in gradients.items()
        if x.dtype in _HALF and bool(x.isinf().any())
    )
