"""Calls of losses that compare every row with every other: never all similarities at once.

Embeddings are prepared by torch and autograd. Of what is prepared a few rows of similarities are
made at a time, go through the loss's compiled pass, and leave their gradient in that of both sides.
What is held beside inputs and gradients depends on `Room`, not on rows times rows.
"""

import math

import numpy as np
import torch

from lossd.engine.forms import condense
from lossd.engine.fused import ONE_SLICE, Slices, outer_of, result_of
from lossd.engine.kernels import SUSPECT, Job
from lossd.engine.memory import Buffers
from lossd.engine.pairs import PAIRED, Loss
from lossd.engine.pairs._work import Products, Room, Work
from lossd.engine.plain import as_asked, denominator_of, leaf_of
from lossd.engine.reduce import gradient_overflows
from lossd.schema import Call, Result

ROOM = Room()
_CPU = torch.device("cpu")


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
    leaves = {key: leaf_of(call, x, _CPU, key in call.wrt) for key, x in call.inputs.items()}
    arguments = call.arguments(leaves)
    with torch.set_grad_enabled(bool(call.wrt)):
        left, right = loss.prepare(arguments, call.params)
    row_weights = None if call.row_weights is None else call.row_weights.numpy()
    scale = 1.0 / denominator if call.reduction == "mean" and call.cotangent is None else 1.0
    outer = outer_of(call, rows, row_weights, scale)
    work = Work(
        call=call,
        arguments=arguments,
        products=Products(left, right, buffers, room, again=loss.passes(call.params) > 1),
        outer=np.ascontiguousarray(np.broadcast_to(outer.reshape(-1), rows)),
        values=np.empty(rows),
        in_slices=slices.run,
    )
    if loss.run(work) & SUSPECT:
        return None
    wanted = [key for key in call.wrt if key not in work.more]
    slopes = work.products.gradients([leaves[key] for key in wanted])
    found = work.more | dict(zip(wanted, slopes, strict=True))
    gradients = {key: as_asked(call, key, found[key]) for key in call.wrt}
    dense, condensed = condense(call, gradients)
    job = Job(outer=outer, sums=work.values)
    return result_of(call, job, denominator, dense, condensed, gradient_overflows(gradients))
