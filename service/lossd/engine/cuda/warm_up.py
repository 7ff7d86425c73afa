"""Calls to make before the first caller comes, so that none waits for a compiler."""

from collections.abc import Iterator

import torch

from lossd.engine.cuda.kernels import kernel_names
from lossd.losses import CATALOG
from lossd.schema import Call, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# One for each number of classes that a program holds, and vocabularies that 16 divides and not.
CLASSES = (10, 100, 1000, 32_000, 50_257)


def calls_to_warm_up(device: torch.device) -> Iterator[Call]:
    """The examples of all losses; on CUDA, of those with a kernel, in every dtype that they take.

    There cross-entropy also at common sizes. Other options and sizes compile at their first call,
    about 2 s each, and Triton keeps what it compiled on disk.
    """
    for spec in CATALOG.values():
        yield example_call(spec)
    if device.type != "cuda":
        return
    for name in sorted(kernel_names()):
        yield from (_example_as(name, dtype) for dtype in DTYPES[1:])
    if "cross_entropy" in kernel_names():
        yield from (_cross_entropy(n, dtype) for n in CLASSES for dtype in DTYPES)


def _example_as(name: str, dtype: torch.dtype) -> Call:
    call = example_call(CATALOG[name])
    tensors = {key: x.to(dtype) if x.is_floating_point() else x for key, x in call.inputs.items()}
    return parse_call(name, Message(tensors, {"params": call.params.model_dump()}))


def _cross_entropy(classes: int, dtype: torch.dtype) -> Call:
    tensors = {"logits": torch.zeros(2, classes, dtype=dtype), "labels": torch.zeros(2).long()}
    return parse_call("cross_entropy", Message(tensors, {}))
