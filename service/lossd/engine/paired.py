"""Calls of losses that compare every row with every other: never all similarities at once.

A few rows of similarities are made, go through the loss's compiled pass, and leave their gradient
in that of both sides. What is held beside inputs and gradients depends on `Room`, not on rows times
rows.
"""

import math

import numpy as np
import torch
from torch import Tensor

from lossd.engine.forms import condense
from lossd.engine.fused import ONE_SLICE, Slices, outer_of, result_of
from lossd.engine.kernels import SUSPECT, Job
from lossd.engine.memory import Buffers
from lossd.engine.pairs import PAIRED, Loss
from lossd.engine.pairs._sides import Side
from lossd.engine.pairs._work import Embeddings, Products, Room, Work
from lossd.engine.plain import as_asked, denominator_of
from lossd.engine.reduce import gradient_overflows
from lossd.schema import Call, Result

ROOM = Room()


def pick_paired(call: Call, device: torch.device) -> Loss | None:
    """What computes a call in blocks of its rows on the CPU; None if its plain function does."""
    possible = (
        device.type == "cpu"
        and call.options.nonfinite == "refuse"
        and call.compute_dtype == torch.float32
        and call.paired_elements > 0
        and all(x.numel() for key, x in call.inputs.items() if call.spec.inputs[key].scope == "row")
    )
    return PAIRED.get(call.spec.name) if possible else None


def compute_paired(
    loss: Loss,
    call: Call,
    buffers: Buffers,
    slices: Slices = ONE_SLICE,
    room: Room = ROOM,
) -> Result | None:
    """The result of a call whose values have been checked.

    None where a similarity is not finite, or nothing counts in a mean.
    """
    rows = call.item_shape[0]
    denominator = denominator_of(call)
    if call.reduction == "mean" and not 0.0 < denominator < math.inf:
        return None
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    scale = 1.0 / denominator if call.reduction == "mean" and call.cotangent is None else 1.0
    outer = outer_of(call, rows, row_weights, scale)
    made_of = loss.embeddings(call)
    left, right = _sides(call, made_of, buffers, slices)
    work = Work(
        call=call,
        products=Products(left, right, buffers, room, again=made_of.again),
        outer=np.broadcast_to(outer.reshape(-1), rows).copy(),
        values=np.empty(rows),
        in_slices=slices.run,
    )
    if loss.run(work) & SUSPECT:
        return None
    found = work.more | _gradients(call, made_of, left, right)
    gradients = {key: as_asked(call, key, found[key]) for key in call.wrt}
    dense, condensed = condense(call, gradients)
    job = Job(outer=outer, sums=work.values)
    return result_of(call, job, denominator, dense, condensed, gradient_overflows(gradients))


def _sides(call: Call, made_of: Embeddings, buffers: Buffers, slices: Slices) -> tuple[Side, Side]:
    left = Side(
        [call.inputs[made_of.left]],
        buffers,
        slices.run,
        normalize=made_of.normalize,
        scale=made_of.scale,
        differentiable=made_of.left in call.wrt or made_of.scale_key in call.wrt,
    )
    right = Side(
        [call.inputs[key] for key in made_of.right],
        buffers,
        slices.run,
        normalize=made_of.normalize,
        differentiable=any(key in call.wrt for key in made_of.right),
    )
    return left, right


def _gradients(call: Call, made_of: Embeddings, left: Side, right: Side) -> dict[str, Tensor]:
    """Of what the products are made of; of some inputs even if nobody asked for them."""
    found: dict[str, Tensor] = {}
    if left.gradient is not None:
        gradient, of_scale = left.take_back()
        found[made_of.left] = torch.from_numpy(gradient)
        if made_of.scale_key is not None:
            found[made_of.scale_key] = torch.tensor(of_scale, dtype=torch.float32)
    if right.gradient is not None:
        gradient, _ = right.take_back()
        sizes = [len(call.inputs[key]) for key in made_of.right]
        parts = torch.split(torch.from_numpy(gradient), sizes)
        found |= zip(made_of.right, parts, strict=True)
    return found
