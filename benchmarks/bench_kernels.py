"""The CPU kernels against the same losses in torch and JAX: value and gradients.

One thread. Each cell is a loss and a shape. Contenders take turns after their answers were
compared with the plain function's in float64:

- `kernel`: the engine's whole way through a kernel, checks of the values included, as for a call
  whose like came before;
- `eager`: the loss's plain function and autograd;
- `builtin`: torch's own function of that name and autograd, for elementwise losses that have one;
- `compiled`: the same under torch.compile;
- `joint`: value and gradient as one function under torch.compile, which it may fuse;
- `jax`: jax.jit, for cross_entropy, where JAX is installed;
- `copy`: numpy's copy of the inputs that get a gradient: the same bytes read and written.

`python -m benchmarks.bench_kernels [--quick] [--memory] [--largest] [loss ...]`; `--memory`
adds what a call takes at its peak beyond what was held before. One JSON line per cell; units are
in the names.
"""

import argparse
import ctypes
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossd.engine.compute import compute, pick_kernel
from lossd.engine.memory import Buffers
from lossd.engine.small import SmallCalls
from lossd.losses import CATALOG
from lossd.schema import Call, Result, parse_call
from lossd.wire import Message

CPU = torch.device("cpu")
libc = ctypes.CDLL(None)
M_MMAP_THRESHOLD = -3  # of mallopt(3)
SHAPES = [(32, 10), (256, 1000), (4096, 1000), (1024, 32_000)]
LARGEST = (1024, 128_000)
REGRESSION = ("mse", "l1", "huber", "smooth_l1", "log_cosh")
HINGES = ("hinge", "squared_hinge")
BINARY = ("binary_cross_entropy_with_logits", "sigmoid_focal", "asymmetric")
LOSSES = (
    *("cross_entropy", "focal", "generalized_cross_entropy", "kl_divergence", "adversarial"),
    *("poly_cross_entropy", "symmetric_cross_entropy"),
    *("brier", "multiclass_hinge", "multi_margin", "nll", "distillation"),
    *("label_smoothing", "logit_adjustment", "margin_based_label_smoothing", "dual_focal"),
    *("entropy", "confidence_penalty", "mdca"),
    *(*REGRESSION, *HINGES, *BINARY),
)
BUILTINS: Mapping[str, Callable[..., Tensor]] = {
    "mse": torch.nn.functional.mse_loss,
    "l1": torch.nn.functional.l1_loss,
    "huber": torch.nn.functional.huber_loss,
    "smooth_l1": torch.nn.functional.smooth_l1_loss,
    "binary_cross_entropy_with_logits": torch.nn.functional.binary_cross_entropy_with_logits,
}
ROUNDS, QUICK_ROUNDS = 21, 5
TURN_US = 2000.0  # small calls are made several times in a row: that is how a loop meets them
Contender = Callable[[], Any]


def call_of(name: str, rows: int, classes: int) -> Call:
    """A call of float32 logits and labels, or of what the loss takes in their place."""
    generator = torch.Generator().manual_seed(rows + classes)
    logits = [3 * torch.randn(rows, classes, generator=generator) for _ in range(2)]
    labels = torch.randint(classes, (rows,), generator=generator)
    given = {
        "kl_divergence": {"p_logits": logits[0], "q_logits": logits[1]},
        "adversarial": {
            "clean_logits": logits[0],
            "adversarial_logits": logits[1],
            "labels": labels,
        },
        "distillation": {"student_logits": logits[0], "teacher_logits": logits[1]},
        "logit_adjustment": {
            "logits": logits[0],
            "labels": labels,
            "class_counts": 1.0 + torch.arange(classes) % 100,
        },
        "entropy": {"logits": logits[0]},
        "nll": {"log_probabilities": logits[0].log_softmax(1), "labels": labels},
    }
    positive = logits[1] > 0
    given |= {key: {"prediction": logits[0], "target": logits[1]} for key in REGRESSION}
    given |= {key: {"scores": logits[0], "labels": 2 * positive.long() - 1} for key in HINGES}
    given |= {key: {"logits": logits[0], "targets": positive.float()} for key in BINARY}
    return parse_call(name, Message(given.get(name, {"logits": logits[0], "labels": labels}), {}))


def value_of(call: Call) -> Callable[..., Tensor]:
    """The mean, as a function of the inputs that get a gradient."""
    rest = {key: x for key, x in call.inputs.items() if key not in call.wrt}

    def value(*leaves: Tensor) -> Tensor:
        inputs = {**rest, **dict(zip(call.wrt, leaves, strict=True))}
        values: Tensor = call.spec.fn(**call.arguments(inputs), params=call.params)
        return values.sum() / values.numel()

    return value


def builtin_of(call: Call) -> Callable[..., Tensor]:
    """torch's own mean, as a function of the inputs that get a gradient."""
    rest = [x for key, x in call.inputs.items() if key not in call.wrt]
    return lambda *leaves: BUILTINS[call.spec.name](*leaves, *rest)


def by_autograd(value: Callable[..., Tensor], call: Call) -> Contender:
    """Value and gradients, the way one trains."""

    def step() -> tuple[Tensor, ...]:
        leaves = [call.inputs[key].detach().requires_grad_() for key in call.wrt]
        found = value(*leaves)
        return found.detach(), *torch.autograd.grad(found, leaves)

    return step


def jointly(value: Callable[..., Tensor], call: Call) -> Contender:
    """Value and gradients as one compiled function."""
    leaves = [call.inputs[key] for key in call.wrt]
    both = torch.func.grad_and_value(value, argnums=tuple(range(len(leaves))))
    compiled = torch.compile(both, dynamic=False)

    def step() -> tuple[Tensor, ...]:
        gradients, found = compiled(*leaves)
        return found, *gradients

    return step


def by_jax(call: Call) -> Contender | None:
    """Cross-entropy under jax.jit; None where there is no JAX."""
    try:
        import jax
    except ModuleNotFoundError:
        return None
    import jax.numpy as jnp

    logits, labels = (jnp.asarray(call.inputs[key].numpy()) for key in ("logits", "labels"))

    def value(z: Any) -> Any:
        picked = jnp.take_along_axis(z, labels[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(z, axis=1) - picked).mean()

    both = jax.jit(jax.value_and_grad(value))

    def step() -> tuple[Any, ...]:
        found, gradient = jax.block_until_ready(both(logits))
        return found, gradient

    return step


def contenders(call: Call) -> Iterator[tuple[str, Contender]]:
    """Everything that computes a call, and the copy."""
    buffers = Buffers(4 << 30)
    small = SmallCalls(CPU)
    yield "kernel", lambda: small.compute(call, 0.0) or compute(call, CPU, buffers)
    value = value_of(call)
    yield "eager", by_autograd(value, call)
    if call.spec.name in BUILTINS:
        yield "builtin", by_autograd(builtin_of(call), call)
    yield "compiled", by_autograd(torch.compile(value, dynamic=False), call)
    yield "joint", jointly(value, call)
    if call.spec.name == "cross_entropy" and (step := by_jax(call)) is not None:
        yield "jax", step
    sources = [call.inputs[key].numpy() for key in call.wrt]
    targets = [np.zeros_like(x) for x in sources]
    yield "copy", lambda: [np.copyto(y, x) for y, x in zip(targets, sources, strict=True)]


def compare(call: Call, steps: Mapping[str, Contender]) -> None:
    """Raises `AssertionError` where an answer is not the plain function's in float64.

    Where eager torch's own is far from that, for two logits are one number after a log-softmax in
    float32, anything between is let pass, but for the kernel's.
    """
    wide = {key: x.double() if x.is_floating_point() else x for key, x in call.inputs.items()}
    exact = replace(call, inputs=wide)
    want = by_autograd(value_of(exact), exact)()
    eager = steps["eager"]()
    scale = max(float(x.abs().max()) for x in want[1:])
    for name, step in steps.items():
        if name == "copy":
            continue
        got = step()
        if isinstance(got, Result):
            got = (torch.tensor(got.value), *(got.gradients[key] for key in call.wrt))
        for mine, true, rough in zip(got, want, eager, strict=True):
            mine = torch.from_numpy(np.array(mine)) if not isinstance(mine, Tensor) else mine
            mine = mine.to(true)
            if name != "kernel":
                is_far = ~torch.isclose(rough.to(true), true, rtol=1e-3, atol=1e-5 * scale)
                mine = torch.where(is_far, true, mine)
            torch.testing.assert_close(mine, true, rtol=1e-3, atol=1e-5 * scale)


def took_us(step: Contender, calls: int = 1) -> float:
    """Time of one call, its answer let go of within."""
    started_s = time.perf_counter()
    for _ in range(calls):
        step()
    return 1e6 * (time.perf_counter() - started_s) / calls


def peaks_mib(call: Call) -> dict[str, float]:
    """What one call of each contender takes at its peak, its answer included.

    The kernel's is its first, whose buffers are new; the others have compiled before.
    """
    # Memory that is let go of goes back at once, or a second call would seem to take none.
    libc.mallopt(M_MMAP_THRESHOLD, 64 * 1024)
    found = {}
    for key, step in contenders(call):
        if key not in ("kernel", "copy"):
            step()
        found[key] = _peak_mib(step)
    return found


def _peak_mib(step: Contender) -> float:
    gc.collect()
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    step()
    return _status_mib("VmHWM") - before


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def measure(name: str, shape: tuple[int, int], rounds: int, memory: bool) -> dict[str, Any]:
    """One cell: medians of all contenders."""
    call = call_of(name, *shape)
    assert pick_kernel(call, CPU) is not None
    steps = dict(contenders(call))
    compare(call, steps)
    calls = {
        key: 1 + int(TURN_US / min(took_us(step) for _ in range(3))) for key, step in steps.items()
    }
    times: dict[str, list[float]] = {key: [] for key in steps}
    for _ in range(rounds):
        for key, step in steps.items():
            times[key].append(took_us(step, calls[key]))
    medians = {key: statistics.median(each) for key, each in times.items()}
    rivals = {key: x for key, x in medians.items() if key not in ("kernel", "copy")}
    best = min(rivals, key=lambda key: rivals[key])
    line: dict[str, Any] = {"loss": name, "rows": shape[0], "classes": shape[1], "rounds": rounds}
    line |= {"best_rival": best, "of_best_rival": round(medians["kernel"] / medians[best], 3)}
    line |= {"of_copy": round(medians["kernel"] / medians["copy"], 2)}
    line |= {f"{key}_us": round(us, 1) for key, us in medians.items()}
    if memory:
        line |= {f"{key}_peak_mib": round(mib, 1) for key, mib in peaks_mib(call).items()}
    return line


def main(words: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("losses", nargs="*", metavar="loss", help="default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds, the two smallest shapes")
    parser.add_argument("--memory", action="store_true", help="peak memory of one call each")
    parser.add_argument("--largest", action="store_true", help="1024 x 128000 alone: takes 8 GiB")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    for name in asked.losses or LOSSES:
        if name not in CATALOG:
            parser.error(f"no loss {name!r}")
        shapes = SHAPES[:2] if asked.quick else SHAPES
        if asked.largest:
            shapes = [LARGEST]
        for shape in shapes:
            torch.compiler.reset()
            rounds = QUICK_ROUNDS if asked.quick else ROUNDS
            print(json.dumps(measure(name, shape, rounds, asked.memory)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
