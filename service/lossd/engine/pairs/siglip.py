"""The sigmoid loss of pairs: every similarity is a yes-or-no question of its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._pairs import ask_each
from lossd.engine.pairs._work import Work
from lossd.losses._ops import direction

_BIAS = "logit_bias"


def prepare(arguments: Mapping[str, Any], params: Any) -> tuple[Tensor, Tensor]:
    """Scaled left embeddings; right ones."""
    left, right = arguments["left"], arguments["right"]
    if params.normalize:
        left, right = direction(left), direction(right)
    return left * arguments["logit_scale"], right


def passes(params: Any) -> int:
    """A row needs nothing of the others."""
    return 1


def run(work: Work) -> int:
    """Values and gradients; that of the bias is the sum of those of all similarities."""
    bias = np.float32(work.arguments[_BIAS].item())
    slopes = np.empty_like(work.values)
    wants_gradient = work.products.differentiable

    def ask(cut: slice, block: NDArray[np.float32]) -> int:
        def rows(start: int, stop: int) -> int:
            z, here = block[start:stop], slice(cut.start + start, cut.start + stop)
            written = (work.values[here], slopes[here])
            return int(ask_each(z, here.start, bias, work.outer[here], wants_gradient, *written))

        return work.in_slices(rows, len(block), block.size)

    for cut, block in work.products.blocks():
        if ask(cut, block) & SUSPECT:
            return SUSPECT
        if wants_gradient:
            work.products.take_back(cut, block)
    if _BIAS in work.call.wrt:
        work.more[_BIAS] = torch.tensor(slopes.sum(), dtype=torch.float32)
    return FINE
