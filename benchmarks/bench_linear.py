"""Cross-entropy of hidden @ classifier.T: a few rows of logits at a time, against torch eager.

Both run in processes of their own, one after the other, so that each one's peak is its own: what
its resident memory grows by in the first call. Answers are compared first; then the two alternate.
One JSON line per dtype; units are in the names.
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
from lossd.schema import parse_call
from lossd.wire import Message

ROWS, FEATURES, CLASSES = 2048, 512, 32000
ALTERNATIONS = 4
CALLS = 2
CPU = torch.device("cpu")
MADE_OF = ("hidden", "classifier")


def given(dtype: torch.dtype) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "hidden": torch.randn(ROWS, FEATURES, generator=draw).to(dtype),
        "classifier": torch.randn(CLASSES, FEATURES, generator=draw).mul_(0.05).to(dtype),
        "labels": torch.randint(CLASSES, (ROWS,), generator=draw),
    }


def by_lossd(tensors: dict[str, Tensor], buffers: Buffers) -> tuple[float, list[Tensor]]:
    result = compute(parse_call("cross_entropy", Message(tensors, {})), CPU, buffers)
    assert result.value is not None
    return result.value, [result.gradients[name] for name in MADE_OF]


def by_eager(tensors: dict[str, Tensor]) -> tuple[float, list[Tensor]]:
    hidden, classifier = (tensors[name].detach().requires_grad_() for name in MADE_OF)
    value = torch.nn.functional.cross_entropy(hidden @ classifier.T, tensors["labels"])
    return value.item(), list(torch.autograd.grad(value, [hidden, classifier]))


def peak_kib() -> int:
    """The most memory that this program had resident; getrusage would begin at its parent's."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def run(contender: str, dtype: torch.dtype) -> dict[str, float]:
    """Peak of the first call, and the time of later ones, in this process."""
    torch.set_num_threads(1)
    tensors, buffers = given(dtype), Buffers(256 << 20)
    before = peak_kib()
    took_s: list[float] = []
    for _ in range(1 + CALLS):
        started_s = time.perf_counter()
        by_lossd(tensors, buffers) if contender == "lossd" else by_eager(tensors)
        took_s.append(time.perf_counter() - started_s)
        if len(took_s) == 1:
            peak = peak_kib() - before
    return {"peak_mib": peak / 1024, "best_ms": 1e3 * min(took_s[1:])}


def check(dtype: torch.dtype) -> None:
    tensors = given(dtype)
    (mine, ours), (theirs, others) = by_lossd(tensors, Buffers(0)), by_eager(tensors)
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    assert abs(mine - theirs) <= tolerance * abs(theirs), (mine, theirs)
    for a, b in zip(ours, others, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item())


def measure(name: str) -> dict[str, Any]:
    check(getattr(torch, name))
    found: dict[str, list[dict[str, float]]] = {"lossd": [], "eager": []}
    for _ in range(ALTERNATIONS):
        for contender, runs in found.items():
            command = [sys.executable, "-m", __spec__.name, contender, name]
            runs.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    line: dict[str, Any] = {"bench": "linear", "dtype": name}
    for what in ("best_ms", "peak_mib"):
        medians = [statistics.median(each[what] for each in runs) for runs in found.values()]
        line |= {f"{c}_{what}": round(m, 1) for c, m in zip(found, medians, strict=True)}
        line[f"{what.partition('_')[0]}_ratio"] = round(medians[0] / medians[1], 2)
    shape = {"rows": ROWS, "features": FEATURES, "classes": CLASSES}
    return line | shape | {"torch": torch.__version__, "machine": platform.machine()}


def main() -> None:
    for name in ("float32", "bfloat16"):
        print(json.dumps(measure(name)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(sys.argv[1], getattr(torch, sys.argv[2]))))
    else:
        main()
