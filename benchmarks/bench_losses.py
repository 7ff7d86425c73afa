"""Every loss through the engine, against its own plain function under eager autograd.

What the engine adds (checks are not part of it) is the ratio of the two. Answers are compared
first; then the two alternate. One JSON line per loss; units are in the names.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lossd.engine import compute
from lossd.losses import CATALOG
from lossd.schema import Call, parse_call
from lossd.schema.describe import example_call
from lossd.wire import Message

ROWS = 4096
ALTERNATIONS = 20
CPU = torch.device("cpu")


def tiled(name: str) -> Call:
    """The loss's example, its rows repeated to `ROWS` of them."""
    spec, call = CATALOG[name], example_call(CATALOG[name])
    tensors: dict[str, Tensor] = {}
    for key, x in call.inputs.items():
        is_rows = spec.inputs[key.partition("/")[0]].scope == "row"
        repeats = -(-ROWS // x.shape[0]) if is_rows else 1
        tensors[key] = x.repeat(repeats, *([1] * (x.ndim - 1)))[:ROWS] if is_rows else x
    return parse_call(name, Message(tensors, {"params": call.params.model_dump()}))


def plain(call: Call) -> list[Tensor]:
    """The gradients of the sum, the way one writes it at home."""
    leaves = {key: x.detach().requires_grad_(key in call.wrt) for key, x in call.inputs.items()}
    values = call.spec.fn(**call.arguments(leaves), params=call.params)
    return list(torch.autograd.grad(values.sum(), [leaves[key] for key in call.wrt]))


def took_us(step: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    step()
    return 1e6 * (time.perf_counter() - started_s)


def measure(name: str) -> Mapping[str, Any]:
    call = tiled(name)
    result = compute(call, CPU)
    for mine, theirs in zip(result.gradients.values(), plain(call), strict=True):
        scale = 1 / result.denominator if call.reduction == "mean" else 1.0
        torch.testing.assert_close(mine, theirs * scale, rtol=1e-4, atol=1e-6)
    engine_us, plain_us = [], []
    for _ in range(ALTERNATIONS):
        engine_us.append(took_us(lambda: compute(call, CPU)))
        plain_us.append(took_us(lambda: plain(call)))
    medians = statistics.median(engine_us), statistics.median(plain_us)
    return {
        "bench": "losses",
        "loss": name,
        "rows": ROWS,
        "engine_p50_us": round(medians[0], 1),
        "plain_p50_us": round(medians[1], 1),
        "ratio": round(medians[0] / medians[1], 2),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def main() -> None:
    torch.set_num_threads(1)
    for name in CATALOG:
        print(json.dumps(measure(name)), flush=True)


if __name__ == "__main__":
    main()
