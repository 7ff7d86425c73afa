"""One call, start to end: by its kernel, or by the loss's plain function and autograd."""

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lossd.engine.forms import condense, recipe_of
from lossd.engine.fused import ONE_SLICE, Slices, compute_by_kernel, is_possible
from lossd.engine.kernels import Kernel, kernel_for
from lossd.engine.linear import compute_linear
from lossd.engine.memory import Buffers
from lossd.engine.reduce import denominator_of, gradient_overflows, reduce_sums
from lossd.errors import OutOfMemory
from lossd.schema import Call, Result, Warned, check_values

_KEEP_NOTHING = Buffers(0)


def pick_kernel(call: Call, device: torch.device) -> Kernel | None:
    """The kernel that computes a call; None if its plain function does."""
    possible = not call.is_linear and is_possible(call, device)
    return kernel_for(call) if possible else None


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
        result = _by_kernel(call, device, buffers, slices)
        if result is None:
            check_values(call)
            result = _on_cpu(_checked(call, device, buffers, slices))
    except (torch.OutOfMemoryError, MemoryError) as err:
        raise OutOfMemory(f"{call.spec.name}: no memory for this call") from err
    except RuntimeError as err:
        if "allocate memory" not in str(err):
            raise
        raise OutOfMemory(f"{call.spec.name}: no memory for this call") from err
    return replace(result, seconds={"compute": time.perf_counter() - started_s})


def _by_kernel(call: Call, device: torch.device, buffers: Buffers, slices: Slices) -> Result | None:
    kernel = pick_kernel(call, device)
    return None if kernel is None else compute_by_kernel(kernel, call, buffers, slices)


def _checked(call: Call, device: torch.device, buffers: Buffers, slices: Slices) -> Result:
    """The result of a call whose values have been checked, on the device."""
    if not call.is_linear:
        return compute_plainly(call, device)

    def part(of_logits: Call) -> Result:
        result = _by_kernel(of_logits, device, buffers, slices)
        return compute_plainly(of_logits, device) if result is None else result

    return compute_linear(call, device, buffers, part)


def _on_cpu(result: Result) -> Result:
    return replace(
        result,
        rows=None if result.rows is None else result.rows.cpu(),
        gradients={key: each.cpu() for key, each in result.gradients.items()},
        condensed={key: each.cpu() for key, each in result.condensed.items()},
    )


def compute_plainly(call: Call, device: torch.device) -> Result:
    """By the loss's own function and autograd: the truth that kernels are held to.

    The result stays on the device.
    """
    by_autograd = [key for key in call.wrt if not (call.by_recipe and key == "logits")]
    leaves = {key: _leaf(call, x, device, key in by_autograd) for key, x in call.inputs.items()}
    with torch.set_grad_enabled(bool(by_autograd)):
        values = call.spec.fn(**call.arguments(leaves), params=call.params)
    row_weights = _per_item(call.row_weights, values)
    rows = values.detach()
    if row_weights is not None:
        rows = torch.where(row_weights == 0, 0.0, rows * row_weights)
    total = rows.sum(dtype=torch.float64).item()
    denominator = denominator_of(call, leaves, values.numel(), row_weights)
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
        rows=rows if "rows" in call.options.outputs else None,
        gradients=dense,
        condensed=condensed,
        warnings=(*warnings, *more),
    )


def _leaf(call: Call, x: Tensor, device: torch.device, differentiable: bool) -> Tensor:
    """In the compute dtype where it gets a gradient, which is then rounded once, at the end."""
    leaf = x.to(device, call.compute_dtype if differentiable else x.dtype).detach()
    return leaf.requires_grad_(differentiable)


def _per_item(row_weights: Tensor | None, values: Tensor) -> Tensor | None:
    if row_weights is None:
        return None
    shape = (-1, *([1] * (values.ndim - 1)))
    return row_weights.to(values.device, values.dtype).view(shape).expand_as(values)


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
    named = {key: _cast(call, key, each) for key, each in zip(wanted, found, strict=True)}
    warnings = gradient_overflows(named)
    return {key: call.as_sent(key, each) for key, each in named.items()}, warnings


def _cast(call: Call, key: str, gradient: Tensor) -> Tensor:
    wanted = call.options.gradient_dtype
    return gradient.to(getattr(torch, wanted) if wanted else call.inputs[key].dtype)
