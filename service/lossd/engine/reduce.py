"""From sums to the value that is answered, and what to say about it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lossd.schema import Warned
from lossd.schema.options import Reduction

HALF = (torch.float16, torch.bfloat16)


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


def _not_finite(total: float) -> tuple[Warned, ...]:
    if abs(total) < float("inf"):
        return ()
    return (Warned("nonfinite_value", f"the sum is {total}"),)


def gradient_overflows(gradients: Mapping[str, Tensor]) -> tuple[Warned, ...]:
    """A warning for each gradient that is infinite because its dtype is too narrow."""
    return tuple(
        gradient_overflow(key, x.dtype)
        for key, x in gradients.items()
        if x.dtype in HALF and bool(x.isinf().any())
    )


def gradient_overflow(key: str, dtype: torch.dtype) -> Warned:
    """The warning that a gradient is infinite because its dtype is too narrow."""
    return Warned("gradient_overflow", f"{key}: some gradients do not fit {dtype} and are infinite")
