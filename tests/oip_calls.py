"""Calls of cross-entropy as Triton's clients make them, and what torch says that they give."""

from typing import Any

import numpy as np
import torch
import tritonclient.http as triton
from tritonclient.utils import np_to_triton_dtype

LOGITS = np.float32([[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]])
LABELS = np.int64([0, 2])


def tensors(binary: bool = True, api: Any = triton, **arrays: Any) -> list[Any]:
    made = []
    for name, array in (arrays or {"logits": LOGITS, "labels": LABELS}).items():
        one = api.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        one.set_data_from_numpy(array, binary_data=binary)
        made.append(one)
    return made


def wanted(name: str, **how: Any) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, **how)


def expected() -> Any:
    """The value, and the gradient of the logits."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    value = torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS))
    value.backward()
    return value.item(), logits.grad
