"""Cross-entropy on CUDA: value and gradient of bfloat16 logits, against the memory's own speed.

The least that can be done is to read the logits once and to write the gradient once: what a copy of
them does. Each contender's answer is checked first, then all alternate; a fresh copy of the logits
is made before each, outside the time, for those that write over it. Times are the device's own. A
last line has a whole call, from host memory to host memory. JSON lines; units are in the names.
"""

import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

ROWS, CLASSES = 8192, 128_000
CHECK_ROWS = 64
ALTERNATIONS = 10
TRANSFER_ROWS, TRANSFER_CLASSES = 2048, 32_000
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # logits, labels to mean and gradient


def by_kernel() -> Step:
    """The kernel alone, without the way to the device and back."""
    from lossd.engine.cuda.kernels import DeviceJob, kernel_for, missing_for_kernels
    from lossd.schema import parse_call
    from lossd.wire import Message

    call = parse_call(
        "cross_entropy",
        Message({"logits": torch.zeros(1, 2).bfloat16(), "labels": torch.zeros(1).long()}, {}),
    )
    kernel = kernel_for(call)
    assert kernel is not None, f"not installed: {missing_for_kernels()}"

    def step(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(logits)
        sums = torch.empty(rows, 1, dtype=torch.float64, device=logits.device)
        job = DeviceJob(
            outer=torch.full((1, 1), 1 / rows, device=logits.device),
            sums=sums,
            gradients={"logits": logits},
            overflows=torch.empty(rows, 1, dtype=torch.int8, device=logits.device),
        )
        kernel.launch(call, {"logits": logits, "labels": labels}, job)
        return sums.sum() / rows, logits

    return step


def by_autograd(function: Callable[..., Tensor]) -> Step:
    def step(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        leaf = logits.detach().requires_grad_()
        mean = function(leaf, labels)
        return mean.detach(), torch.autograd.grad(mean, leaf)[0]

    return step


def contenders() -> dict[str, Step]:
    found = {
        "lossd kernel": by_kernel(),
        "torch eager": by_autograd(cross_entropy),
        "torch.compile": by_autograd(torch.compile(lambda x, y: cross_entropy(x.float(), y))),
    }
    if importlib.util.find_spec("liger_kernel") is not None:
        from liger_kernel.transformers import LigerCrossEntropyLoss

        found["Liger-Kernel"] = by_autograd(LigerCrossEntropyLoss())
    return found


def check(step: Step, device: torch.device) -> None:
    logits = (8 * torch.randn(CHECK_ROWS, CLASSES, device=device)).bfloat16()  # few that count
    labels = torch.randint(CLASSES, (CHECK_ROWS,), device=device)
    mean, gradient = by_autograd(cross_entropy)(logits.double(), labels)
    got, mine = step(logits.clone(), labels)
    torch.testing.assert_close(got.double(), mean, rtol=1e-2, atol=0)
    torch.testing.assert_close(mine.double(), gradient, rtol=2e-2, atol=1e-5)


def took_ms(work: Callable[[], Any]) -> float:
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    work()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


def measure_kernels(device: torch.device) -> None:
    steps = contenders()
    for step in steps.values():
        check(step, device)
    logits = torch.randn(ROWS, CLASSES, device=device, dtype=torch.bfloat16)
    labels = torch.randint(CLASSES, (ROWS,), device=device)
    scratch = torch.empty_like(logits)
    times_ms: dict[str, list[float]] = {name: [] for name in ("copy", *steps)}
    peak_bytes = dict.fromkeys(times_ms, 0)
    for i in range(ALTERNATIONS + 1):  # the first compiles, and is not counted
        for name in times_ms:
            scratch.copy_(logits)
            torch.cuda.reset_peak_memory_stats(device)
            held_bytes = torch.cuda.memory_allocated(device)
            if name == "copy":
                spent_ms = took_ms(lambda: scratch.copy_(logits))
            else:
                step = steps[name]
                spent_ms = took_ms(lambda step=step: step(scratch, labels))
            peak_bytes[name] = torch.cuda.max_memory_allocated(device) - held_bytes
            if i:
                times_ms[name].append(spent_ms)
    copy_ms = statistics.median(times_ms["copy"])
    for name, each in times_ms.items():
        median_ms = statistics.median(each)
        report(
            device,
            contender=name,
            rows=ROWS,
            classes=CLASSES,
            dtype="bfloat16",
            p50_ms=round(median_ms, 3),
            gigabytes_per_s=round(2 * logits.nbytes / median_ms / 1e6, 1),
            copies=round(median_ms / copy_ms, 2),
            extra_peak_bytes=peak_bytes[name],
        )


def measure_call(device: torch.device) -> None:
    from lossd.engine import compute
    from lossd.engine.cuda import open_lane
    from lossd.schema import parse_call
    from lossd.wire import Message

    logits = torch.randn(TRANSFER_ROWS, TRANSFER_CLASSES).bfloat16()
    labels = torch.randint(TRANSFER_CLASSES, (TRANSFER_ROWS,))
    call = parse_call("cross_entropy", Message({"logits": logits, "labels": labels}, {}))
    lane, times_ms = open_lane(device), []
    for _ in range(ALTERNATIONS + 1):
        started_s = time.perf_counter()
        compute(call, device, lane=lane)
        times_ms.append(1e3 * (time.perf_counter() - started_s))
    median_ms = statistics.median(times_ms[1:])
    report(
        device,
        contender="lossd, host to host, checks included",
        rows=TRANSFER_ROWS,
        classes=TRANSFER_CLASSES,
        dtype="bfloat16",
        p50_ms=round(median_ms, 3),
        gigabytes_per_s=round(2 * logits.nbytes / median_ms / 1e6, 1),
    )


def report(device: torch.device, **measured: Any) -> None:
    about = {"torch": torch.__version__, "device": torch.cuda.get_device_name(device)}
    print(json.dumps({"bench": "cuda", **measured, **about}), flush=True)


def main() -> None:
    if not torch.cuda.is_available():
        print("there is no CUDA device: nothing was measured")
        return
    device = torch.device("cuda")
    measure_kernels(device)
    torch.cuda.empty_cache()
    measure_call(device)


if __name__ == "__main__":
    main()
