"""Run by a test, without the interpreter: compile every kernel for a GPU that need not be there.

Prints one JSON line for each: its name, and the kinds of offsets that it adds to pointers.
"""

import json
import re
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from case_requests import CASES, CPU, message_of
from host_lane import HostLane
from lossd.engine import compute
from lossd.engine.cuda.kernels import kernel_names
from lossd.schema import Call, parse_call
from lossd.wire import Message

ADDED = re.compile(r"tt\.addptr .*?: \S+, (\S+) loc|tt\.addptr .*?: \S+, (\S+)$", re.MULTILINE)


class NoGpu:
    """What the compiler asks a driver."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 80, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_only(self: JITFunction, grid: Any) -> Any:
    def launch(*arguments: Any, **options: Any) -> None:
        compiled = self.run(*arguments, grid=grid, warmup=True, **options)
        assert compiled.asm["cubin"]
        offsets = {a or b for a, b in ADDED.findall(compiled.asm["ttir"])}
        print(json.dumps({"kernel": self.fn.__name__, "offsets": sorted(offsets)}), flush=True)

    return launch


def calls() -> list[Call]:
    """One of each kernel, in bfloat16, and the largest blocks of the hottest."""
    found = []
    for name in sorted(kernel_names()):
        case = next(each for each in CASES if each.spec.name == name)
        found.append(parse_call(name, message_of(case, torch.bfloat16)))
    tensors = {
        "logits": torch.zeros(2, 32_000, dtype=torch.bfloat16),
        "target_probabilities": torch.full((2, 32_000), 1 / 32_000),
        "class_weights": torch.ones(32_000),
    }
    fields = {"params": {"label_smoothing": 0.1}, "outputs": ["rows", "gradients"]}
    return [*found, parse_call("cross_entropy", Message(tensors, fields))]


def main() -> None:
    driver.set_active(NoGpu())
    JITFunction.__getitem__ = compile_only
    for call in calls():
        compute(call, CPU, lane=HostLane())


if __name__ == "__main__":
    main()
