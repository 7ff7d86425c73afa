"""Losses that compare every row with every other: in blocks of rows, against torch eager.

Eager is the loss's plain function and autograd. Both run in processes of their own, one after the
other, so that each one's peak is its own: what its resident memory grows by in the first call.
Answers are compared first; then the two alternate. One JSON line per loss and shape; units are in
the names.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossd.engine import compute
from lossd.engine.memory import Buffers
from lossd.schema import Call, parse_call
from lossd.wire import Message

SHAPES = ((256, 128), (1024, 256), (4096, 512))
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "info_nce": ("info_nce", {}),
    "info_nce_symmetric": ("info_nce", {"symmetric": True}),
    "siglip": ("siglip", {}),
}
ALTERNATIONS = 4
LEAST_CALLS, PAIRS_PER_RUN = 3, 32 << 20
CPU = torch.device("cpu")


def call_of(what: str, rows: int, features: int) -> Call:
    name, params = LOSSES[what]
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(rows, features, generator=draw) for _ in range(2))
    if name == "siglip":
        given = {"left": left, "right": right}
        given |= {"logit_scale": torch.tensor(10.0), "logit_bias": torch.tensor(-10.0)}
    else:
        given = {"queries": left, "keys": right}
    return parse_call(name, Message(given, {"params": params}))


def by_lossd(call: Call, buffers: Buffers) -> tuple[float, list[Tensor]]:
    result = compute(call, CPU, buffers)
    assert result.value is not None
    return result.value, list(result.gradients.values())


def by_eager(call: Call) -> tuple[float, list[Tensor]]:
    leaves = {key: x.detach().requires_grad_(key in call.wrt) for key, x in call.inputs.items()}
    value = call.spec.fn(**call.arguments(leaves), params=call.params).mean()
    return value.item(), list(torch.autograd.grad(value, [leaves[key] for key in call.wrt]))


def peak_kib() -> int:
    """The most memory that this program had resident; getrusage would begin at its parent's."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def run(contender: str, what: str, rows: int, features: int) -> dict[str, float]:
    """Peak of the first call, and the time of later ones, in this process."""
    torch.set_num_threads(1)
    buffers = Buffers(256 << 20)

    def once(call: Call) -> None:
        by_lossd(call, buffers) if contender == "lossd" else by_eager(call)

    once(call_of(what, 8, 8))
    call = call_of(what, rows, features)
    before = peak_kib()
    took_s: list[float] = []
    for _ in range(1 + max(LEAST_CALLS, PAIRS_PER_RUN // rows**2)):
        started_s = time.perf_counter()
        once(call)
        took_s.append(time.perf_counter() - started_s)
        if len(took_s) == 1:
            peak = peak_kib() - before
    return {"peak_mib": peak / 1024, "best_ms": 1e3 * min(took_s[1:])}


def check(what: str, rows: int, features: int) -> None:
    call = call_of(what, rows, features)
    (mine, ours), (theirs, others) = by_lossd(call, Buffers(0)), by_eager(call)
    assert abs(mine - theirs) <= 1e-5 * abs(theirs), (mine, theirs)
    for a, b in zip(ours, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


def measure(what: str, rows: int, features: int) -> dict[str, Any]:
    check(what, rows, features)
    found: dict[str, list[dict[str, float]]] = {"lossd": [], "eager": []}
    for _ in range(ALTERNATIONS):
        for contender, runs in found.items():
            command = [sys.executable, "-m", __spec__.name, contender, what, f"{rows}x{features}"]
            runs.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    line: dict[str, Any] = {"bench": "pairs", "loss": what, "rows": rows, "features": features}
    for name in ("best_ms", "peak_mib"):
        medians = [statistics.median(each[name] for each in runs) for runs in found.values()]
        line |= {f"{c}_{name}": round(m, 3) for c, m in zip(found, medians, strict=True)}
        line[f"{name.partition('_')[0]}_ratio"] = round(medians[0] / max(medians[1], 1e-9), 2)
    return line | {"threads": 1, "torch": torch.__version__, "machine": platform.machine()}


def main() -> None:
    for rows, features in SHAPES:
        for what in LOSSES:
            print(json.dumps(measure(what, rows, features)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        rows, _, features = sys.argv[3].partition("x")
        print(json.dumps(run(sys.argv[1], sys.argv[2], int(rows), int(features))))
    else:
        main()
