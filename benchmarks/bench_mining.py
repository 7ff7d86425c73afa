"""What mining adds to a call, against the call without and against OHEM as one writes it in torch.

Answers are compared first; then the three alternate. One JSON line per call and method; units are
in the names.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from lossd.engine import compute
from lossd.schema import Call, parse_call
from lossd.wire import Message

ALTERNATIONS = 10
CPU = torch.device("cpu")
SHAPES = {"rows": (4096, 1000), "pixels": (4, 21, 256, 256)}
FRACTION = 0.25
METHODS: Mapping[str, Mapping[str, Any] | None] = {
    "ohem": {"method": "ohem", "keep_fraction": FRACTION},
    "negative_ratio": {"method": "negative_ratio", "ratio": 3},
    "cvar": {"method": "cvar", "alpha": FRACTION},
}


def request(shape: tuple[int, ...], mining: Mapping[str, Any] | None) -> Call:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator)
    labels = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    fields = {"mining": None if mining is None else dict(mining)}
    return parse_call("cross_entropy", Message({"logits": logits, "labels": labels}, fields))


def at_home(call: Call) -> tuple[float, torch.Tensor]:
    """The mean of the hardest quarter, and its gradient."""
    logits = call.inputs["logits"].detach().requires_grad_()
    values = F.cross_entropy(logits, call.inputs["labels"], reduction="none").flatten()
    value = values.topk(int(FRACTION * values.numel())).values.mean()
    return value.item(), torch.autograd.grad(value, [logits])[0]


def took_ms(step: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - started_s)


def measure(kind: str, method: str) -> Mapping[str, Any]:
    mined = request(SHAPES[kind], METHODS[method])
    plain = request(SHAPES[kind], None)
    if method != "negative_ratio":
        result, (value, gradient) = compute(mined, CPU), at_home(mined)
        assert result.value is not None and abs(result.value - value) < 1e-5
        torch.testing.assert_close(result.gradients["logits"], gradient, rtol=1e-4, atol=1e-7)
    took: dict[str, list[float]] = {"mined": [], "plain": [], "at_home": []}
    for _ in range(ALTERNATIONS):
        took["mined"].append(took_ms(lambda: compute(mined, CPU)))
        took["plain"].append(took_ms(lambda: compute(plain, CPU)))
        took["at_home"].append(took_ms(lambda: at_home(mined)))
    p50 = {name: statistics.median(each) for name, each in took.items()}
    return {
        "bench": "mining",
        "method": method,
        "shape": list(SHAPES[kind]),
        **{f"{name}_p50_ms": round(each, 2) for name, each in p50.items()},
        "ratio_to_plain": round(p50["mined"] / p50["plain"], 2),
        "ratio_to_at_home": round(p50["mined"] / p50["at_home"], 2),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def main() -> None:
    torch.set_num_threads(1)
    for kind in SHAPES:
        for method in METHODS:
            print(json.dumps(measure(kind, method)), flush=True)


if __name__ == "__main__":
    main()
