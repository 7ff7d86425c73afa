"""An objective of 20 terms over shared logits, in process, against its dearest term alone.

On one thread, in turn; the median of each is reported, and their ratios. `mix`: losses of
classifiers and what goes with them, by kernels and by plain functions; `alike`: cross-entropy, each
of other labels, whose kernel makes one term very cheap; `plain`: the mix in float64, all of it in
one graph. `one_by_one` is every term as a call of its own. One JSON line each.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lossd.engine import Bench, Buffers
from lossd.engine.fused import Slices
from lossd.engine.heap import keep_freed_memory
from lossd.objectives.compute import compute_objective
from lossd.objectives.objective import Objective
from lossd.objectives.parse import parse_objective
from lossd.wire import Message

ROWS, CLASSES, FEATURES = 256, 1000, 128
ROUNDS = 15
POOL_BYTES = 256 << 20  # as in a service with default settings
OF_LOGITS = {"logits": "z", "labels": "y"}
OF_PAIRS = {"prediction": "z", "target": "teacher"}
MIX: list[dict[str, Any]] = [
    *(
        {"loss": loss, "inputs": OF_LOGITS}
        for loss in (
            "cross_entropy", "focal", "brier", "generalized_cross_entropy", "label_smoothing",
            "poly_cross_entropy", "symmetric_cross_entropy", "confidence_penalty", "dual_focal",
            "margin_based_label_smoothing", "mdca", "multi_margin",
        )
    ),
    {"loss": "logit_adjustment", "inputs": OF_LOGITS | {"class_counts": "counts"}},
    {"loss": "entropy", "inputs": {"logits": "z"}},
    {"loss": "kl_divergence", "inputs": {"p_logits": "teacher", "q_logits": "z"}},
    {"loss": "distillation",
     "inputs": {"student_logits": "z", "teacher_logits": "teacher", "labels": "y"}},
    {"loss": "mse", "inputs": OF_PAIRS},
    {"loss": "smooth_l1", "inputs": OF_PAIRS, "rows": "y > 500"},
    {"loss": "sup_con", "inputs": {"embeddings": "features", "labels": "y"}},
    {"loss": "l2_penalty", "inputs": {"weights": "w"}, "weight": 1e-4},
]  # fmt: skip
ALIKE: list[dict[str, Any]] = [
    {"loss": "cross_entropy", "inputs": {"logits": "z", "labels": f"y{i}"}} for i in range(20)
]


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = {f"y{i}": torch.randint(CLASSES, (ROWS,), generator=generator) for i in range(20)}
    return labels | {
        "z": torch.randn(ROWS, CLASSES, generator=generator),
        "teacher": torch.randn(ROWS, CLASSES, generator=generator),
        "y": labels["y0"],
        "counts": torch.randint(1, 100, (CLASSES,), generator=generator),
        "features": torch.randn(ROWS, FEATURES, generator=generator),
        "w": torch.randn(CLASSES, FEATURES, generator=generator),
    }


def message_of(terms: list[dict[str, Any]], dtype: torch.dtype) -> Message:
    given = {name: x.to(dtype) if x.is_floating_point() else x for name, x in tensors().items()}
    with_more = any(each["loss"] == "sup_con" for each in terms)
    wrt = ["z", "features", "w"] if with_more else ["z"]
    return Message(given, {"terms": terms, "wrt": wrt})


def objective_of(message: Message) -> Objective:
    """Anew each time: what it shares is computed once."""
    return parse_objective(message, most_terms=100, most_elements=1 << 30)


def took_s(work: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def measure(name: str, terms: list[dict[str, Any]], dtype: torch.dtype) -> dict[str, Any]:
    bench = Bench(buffers=Buffers(POOL_BYTES), slices=Slices(1))
    message = message_of(terms, dtype)
    calls = [replace(term.call, shared=None) for term in objective_of(message).terms]
    alone = [partial(bench.compute, call) for call in calls]

    def whole() -> None:
        compute_objective(objective_of(message), bench)

    def one_by_one() -> None:
        for work in alone:
            work()

    first_s = [min(took_s(work) for _ in range(3)) for work in alone]
    dearest = first_s.index(max(first_s))
    whole()
    works = (whole, alone[dearest], one_by_one)
    noted_s: tuple[list[float], ...] = ([], [], [])
    for _ in range(ROUNDS):
        for work, noted in zip(works, noted_s, strict=True):
            noted.append(took_s(work))
    whole_s, dearest_s, all_s = (statistics.median(each) for each in noted_s)
    return {
        "name": name, "terms": len(terms), "shape": [ROWS, CLASSES], "dtype": str(dtype)[6:],
        "objective_ms": 1e3 * whole_s, "dearest": calls[dearest].spec.name,
        "dearest_ms": 1e3 * dearest_s, "one_by_one_ms": 1e3 * all_s,
        "to_dearest": whole_s / dearest_s, "to_one_by_one": whole_s / all_s,
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory(POOL_BYTES)  # as a service does
    for name, terms, dtype in (
        ("mix", MIX, torch.float32),
        ("alike", ALIKE, torch.float32),
        ("plain", MIX, torch.float64),
    ):
        print(json.dumps(measure(name, terms, dtype)), flush=True)


if __name__ == "__main__":
    main()
