"""One call, start to end: by its kernel, or by the loss's plain function and autograd."""

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lossd.engine.forms import condense, recipe_of
from lossd.engine.fused import ONE_SLICE, Slices, compute_by_kernel, is_possible
from lossd.engine.kernels import Kernel, kernel_for
from lossd.engine.memory import Buffers
from lossd.engine.reduce import gradient_overflows, reduce_sums
from lossd.errors import OutOfMemory
from lossd.schema import Call, Result, Warned, check_values

_KEEP_NOTHING = Buffers(0)


def pick_kernel(call: Call, device: torch.device) -> Kernel | None:
    """The kernel that computes a call; None if its plain function does."""
    return kernel_for(call) if is_possible(call, device) else None


def compute(
    call: Call,
    device: torch.device,
    buffers: Buffers = _KEEP_NOTHING,
    slices: Slices = ONE_SLICE,
) -> Result:
    """Sum, denominator, rows, and the gradients of the value that is returned.

    Raises `OutOfMemory`, and what `check_values` raises.
    """
    started_s = time.perf_counter()
    try:
        kernel = pick_kernel(call, device)
        result = None if kernel is None else compute_by_kernel(kernel, call, buffers, slices)
        if result is None:
            check_values(call)
            result = compute_plainly(call, device)
    except (torch.OutOfMemoryError, MemoryError) as err:
        raise OutOfMemory(f"{call.spec.name}: no memory for this call") from err
    except RuntimeError as err:
        if "allocate memory" not in str(err):
            raise
        raise OutOfMemory(f"{call.spec.name}: no memory for this call") from err
    return replace(result, seconds={"compute": time.perf_counter() - started_s})


def compute_plainly(call: Call, device: torch.device) -> Result:
    """By the loss's own function and autograd: the truth that kernels are held to."""
    by_autograd = [key for key in call.wrt if not (call.by_recipe and key == "logits")]
    leaves = {key: _leaf(x, device, key in by_autograd) for key, x in call.inputs.items()}
    with torch.set_grad_enabled(bool(by_autograd)):
        values = call.spec.fn(**call.arguments(leaves), params=call.params)
    row_weights = _per_item(call.row_weights, values)
    rows = values.detach()
    if row_weights is not None:
        rows = torch.where(row_weights == 0, 0.0, rows * row_weights)
    total = rows.sum(dtype=torch.float64).item()
    denominator = _denominator(call, leaves, values, row_weights)
    value, scale, warnings = reduce_sums(call.reduction, total, denominator)
    outer = _outer(call, values, row_weights, scale)
    gradients, more = _gradients(call, {key: leaves[key] for key in by_autograd}, values, outer)
    dense, condensed = condense(call, gradients)
    if call.by_recipe:
        condensed |= recipe_of(call, leaves, torch.zeros_like(values) if outer is None else outer)
    return Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=values.numel(),
        rows=rows.cpu() if "rows" in call.options.outputs else None,
        gradients={key: each.cpu() for key, each in dense.items()},
        condensed={key: each.cpu() for key, each in condensed.items()},
        warnings=(*warnings, *more),
    )


def _leaf(x: Tensor, device: torch.device, differentiable: bool) -> Tensor:
    return x.to(device).detach().requires_grad_(differentiable)


def _per_item(row_weights: Tensor | None, values: Tensor) -> Tensor | None:
    if row_weights is None:
        return None
    shape = (-1, *([1] * (values.ndim - 1)))
    return row_weights.to(values.device, values.dtype).view(shape).expand_as(values)


def _denominator(
    call: Call, leaves: Mapping[str, Tensor], values: Tensor, row_weights: Tensor | None
) -> float:
    weigh = call.spec.weights
    if weigh is None:
        return float(values.numel()) if row_weights is None else _total(row_weights)
    wanted = {key: x for key, x in leaves.items() if key in call.spec.weights_inputs}
    with torch.no_grad():
        weights = weigh(**call.arguments(wanted), params=call.params)
    return _total(weights if row_weights is None else weights * row_weights)


def _total(x: Tensor) -> float:
    return x.sum(dtype=torch.float64).item()


def _outer(
    call: Call, values: Tensor, row_weights: Tensor | None, scale: float | None
) -> Tensor | None:
    """The gradient of what is answered by each item's value, or the cotangent; None is all 0."""
    if call.cotangent is not None:
        outer = call.cotangent.to(values.device, values.dtype)
    elif scale is None:
        return None
    else:
        outer = torch.full_like(values, scale)
    return outer if row_weights is None else outer * row_weights


def _gradients(
    call: Call, wanted: Mapping[str, Tensor], values: Tensor, outer: Tensor | None
) -> tuple[dict[str, Tensor], tuple[Warned, ...]]:
    """The gradients of the value, or the vector-Jacobian product with the call's cotangent."""
    if not wanted:
        return {}, ()
    leaves = list(wanted.values())
    if values.requires_grad and outer is not None:
        found = torch.autograd.grad(values, leaves, outer, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(leaf) for leaf in leaves)
    named = {key: _cast(call, each) for key, each in zip(wanted, found, strict=True)}
    warnings = gradient_overflows(named)
    return {key: call.as_sent(key, each) for key, each in named.items()}, warnings


def _cast(call: Call, gradient: Tensor) -> Tensor:
    wanted = call.options.gradient_dtype
    return gradient if wanted is None else gradient.to(getattr(torch, wanted))
