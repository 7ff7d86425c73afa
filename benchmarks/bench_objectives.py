"""An objective of 20 terms over shared logits, in process, against its dearest term alone.

On one thread, in turn; the median of each is reported, and their ratios. `softmax`: cross-entropy
and its kin, of the same logits and labels, which share one softmax; `alike`: cross-entropy, each of
other labels; `mix`: losses of classifiers and what goes with them, by kernels and by plain
functions, some of other tensors; `plain`: the mix in float64, all of it in one graph. Calls and
objectives are parsed beforehand; what an objective takes to parse is `parse_ms`. `one_by_one` is
every term as a call of its own. One JSON line each.
"""

import json
import math
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
from lossd.schema import Call
from lossd.wire import Message

ROWS, CLASSES, FEATURES = 256, 1000, 128
ROUNDS = 31
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
SOFTMAX: list[dict[str, Any]] = [
    {"loss": loss, "inputs": OF_LOGITS, "params": params}
    for loss, params in (
        ("cross_entropy", {}),
        ("cross_entropy", {"ignore_index": 7}),
        ("focal", {"gamma": 0.5}),
        ("focal", {"gamma": 1.0}),
        ("focal", {"gamma": 2.0}),
        ("focal", {"gamma": 2.0, "modulation_gradient": "detached"}),
        ("generalized_cross_entropy", {"q": 0.3}),
        ("generalized_cross_entropy", {"q": 0.7}),
        ("label_smoothing", {"smoothing": 0.05}),
        ("label_smoothing", {"smoothing": 0.1}),
        ("label_smoothing", {"smoothing": 0.2}),
        ("poly_cross_entropy", {"epsilon": 1.0}),
        ("poly_cross_entropy", {"epsilon": -0.5}),
        ("symmetric_cross_entropy", {}),
        ("symmetric_cross_entropy", {"alpha": 0.5}),
        ("confidence_penalty", {"beta": 0.1}),
        ("confidence_penalty", {"beta": 0.3}),
        ("brier", {}),
        ("brier", {"scale_by_half": True}),
    )
] + [{"loss": "entropy", "inputs": {"logits": "z"}, "weight": -0.01}]
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


def check(message: Message, bench: Bench, calls: list[Call]) -> None:
    """Raises where an objective is not what its terms come to by themselves."""
    objective = objective_of(message)
    found = compute_objective(objective, bench)
    value, gradient = 0.0, torch.zeros_like(message.tensors["z"], dtype=torch.float64)
    for term, call in zip(objective.terms, calls, strict=True):
        result = bench.compute(call)
        assert isinstance(term.weight, float)
        value += term.weight * (result.value or 0.0)
        for key, x in result.gradients.items():
            if term.sources[key] == "z":
                rows = slice(None) if term.rows is None else term.rows
                gradient[rows] += term.weight * x.double()
    assert math.isclose(found.value, value, rel_tol=1e-5)
    torch.testing.assert_close(found.gradients["z"].double(), gradient, rtol=1e-4, atol=1e-8)


def measure(name: str, terms: list[dict[str, Any]], dtype: torch.dtype) -> dict[str, Any]:
    bench = Bench(buffers=Buffers(POOL_BYTES), slices=Slices(1))
    message = message_of(terms, dtype)
    calls = [replace(term.call, shared=None) for term in objective_of(message).terms]
    alone = [partial(bench.compute, call) for call in calls]

    check(message, bench, calls)
    whole_s, parse_s = [], []
    alone_s: list[list[float]] = [[] for _ in alone]
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        objective = objective_of(message)
        parse_s.append(time.perf_counter() - started_s)
        whole_s.append(took_s(partial(compute_objective, objective, bench)))
        for work, noted in zip(alone, alone_s, strict=True):
            noted.append(took_s(work))
    of_terms_s = [statistics.median(each) for each in alone_s]
    median_s, dearest_s, all_s = statistics.median(whole_s), max(of_terms_s), sum(of_terms_s)
    dearest = of_terms_s.index(dearest_s)
    return {
        "name": name, "terms": len(terms), "shape": [ROWS, CLASSES], "dtype": str(dtype)[6:],
        "objective_ms": round(1e3 * median_s, 3),
        "parse_ms": round(1e3 * statistics.median(parse_s), 3),
        "dearest": calls[dearest].spec.name, "dearest_ms": round(1e3 * dearest_s, 3),
        "one_by_one_ms": round(1e3 * all_s, 3), "to_dearest": round(median_s / dearest_s, 2),
        "to_one_by_one": round(median_s / all_s, 2), "rounds": ROUNDS,
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory(POOL_BYTES)  # as a service does
    for name, terms, dtype in (
        ("softmax", SOFTMAX, torch.float32),
        ("alike", ALIKE, torch.float32),
        ("mix", MIX, torch.float32),
        ("plain", MIX, torch.float64),
    ):
        print(json.dumps(measure(name, terms, dtype)), flush=True)


if __name__ == "__main__":
    main()
