"""One call, start to end: by a kernel, in blocks of pairs, or by its plain function."""

import time
from dataclasses import replace

import torch

from lossd.engine.blocks import BLOCK_BYTES, is_out_of_memory
from lossd.engine.cuda import Lane, compute_on_lane, open_lane
from lossd.engine.extras import extras_of
from lossd.engine.fused import ONE_SLICE, Slices, compute_by_kernel, is_possible
from lossd.engine.kernels import Kernel, kernel_for
from lossd.engine.linear import compute_linear
from lossd.engine.memory import Buffers
from lossd.engine.mining import compute_mined
from lossd.engine.paired import compute_paired, pick_paired
from lossd.engine.plain import compute_plainly as compute_plainly
from lossd.errors import OutOfMemory
from lossd.schema import Call, Result, check_values

_KEEP_NOTHING = Buffers(0)


def pick_kernel(call: Call, device: torch.device) -> Kernel | None:
    """The kernel that computes a call on the CPU; None if its plain function does."""
    possible = not call.is_linear and is_possible(call, device)
    return kernel_for(call) if possible else None


def compute(
    call: Call,
    device: torch.device,
    buffers: Buffers = _KEEP_NOTHING,
    slices: Slices = ONE_SLICE,
    *,
    lane: Lane | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Result:
    """Sum, denominator, rows, and the gradients of the value that is returned.

    On CUDA by the way of a lane, which nothing else may use meanwhile; without one, by a new one.
    Rows are computed in blocks that need about `block_bytes`. Raises `OutOfMemory`, and what
    `check_values` raises.
    """
    started_s = time.perf_counter()
    try:
        if call.options.mining is not None:

            def part(unmined: Call) -> Result:
                return compute(unmined, device, buffers, slices, lane=lane, block_bytes=block_bytes)

            result = compute_mined(call, part)
        elif call.is_linear:
            check_values(call)
            result = _compute_linear(call, device, buffers, slices, block_bytes)
        elif device.type == "cuda" or lane is not None:
            check_values(call)  # before the device sees a label: a bad one ends the process there
            result = compute_on_lane(call, lane or open_lane(device), block_bytes)
        else:
            result = _compute_on_cpu(call, device, buffers, slices, block_bytes)
        if call.extras:
            result = replace(result, extras={**result.extras, **extras_of(call, device)})
    except (RuntimeError, MemoryError) as err:
        if not is_out_of_memory(err):
            raise
        raise OutOfMemory(f"{call.spec.name}: no memory for this call") from err
    result.seconds["compute"] = time.perf_counter() - started_s
    return result


def _compute_on_cpu(
    call: Call, device: torch.device, buffers: Buffers, slices: Slices, block_bytes: int
) -> Result:
    kernel = pick_kernel(call, device)
    result = None if kernel is None else compute_by_kernel(kernel, call, buffers, slices)
    if result is None:
        check_values(call)
        paired = pick_paired(call, device)
        result = None if paired is None else compute_paired(paired, call, buffers, slices)
    return compute_plainly(call, device, block_bytes) if result is None else result


def _compute_linear(
    call: Call, device: torch.device, buffers: Buffers, slices: Slices, block_bytes: int
) -> Result:
    """A call of hidden states and a classifier, whose values have been checked."""

    def part(of_logits: Call) -> Result:
        kernel = pick_kernel(of_logits, device)
        result = None if kernel is None else compute_by_kernel(kernel, of_logits, buffers, slices)
        return compute_plainly(of_logits, device, block_bytes) if result is None else result

    return compute_linear(call, device, buffers, part)
