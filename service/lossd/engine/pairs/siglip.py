"""The sigmoid loss of pairs: every similarity is a yes-or-no question of its own."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._pairs import ask_each
from lossd.engine.pairs._work import Embeddings, Work
from lossd.schema import Call

_BIAS = "logit_bias"


def embeddings(call: Call) -> Embeddings:
    """Scaled left ones; right ones."""
    params: Any = call.params
    return Embeddings(
        left="left",
        right=("right",),
        scale=call.inputs["logit_scale"].item(),
        scale_key="logit_scale",
        normalize=params.normalize,
    )


def run(work: Work) -> int:
    """Values and gradients; that of the bias is the sum of those of all similarities."""
    bias = np.float32(work.call.inputs[_BIAS].item())
    slopes = np.empty_like(work.values)
    wants_gradient = work.products.differentiable

    def ask(here: slice, z: NDArray[np.float32]) -> int:
        written = (work.values[here], slopes[here])
        return int(ask_each(z, here.start, bias, work.outer[here], wants_gradient, *written))

    for cut, block in work.products.blocks():
        if work.over_rows(cut, block, ask) & SUSPECT:
            return SUSPECT
        if wants_gradient:
            work.products.take_back(cut, block)
    if _BIAS in work.call.wrt:
        work.more[_BIAS] = torch.tensor(slopes.sum(), dtype=torch.float32)
    return FINE
