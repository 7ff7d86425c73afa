"""Losses of adversarial training, GAN penalties: torch where it has the parts, else mpmath."""

from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._mp_arrays import array_case, exp, log_softmax
from references._torch import labels, randoms, torch_case

TORCH = "torch 2.13.0"
PAPER = "paper only: mpmath 1.3.0"
PAIR = ("clean_logits", "adversarial_logits")
CLEAN: dict[str, Any] = {"clean_logits": randoms(401, 3, 4), "labels": [0, 3, 1]}
BOTH: dict[str, Any] = {**CLEAN, "adversarial_logits": randoms(402, 3, 4)}
FAR: dict[str, Any] = {
    "clean_logits": [[1e4, -1e4, 0.0], [50.0, -50.0, 120.0]],
    "adversarial_logits": [[1e4, 50.0, 0.0], [-120.0, 50.0, 120.0]],
    "labels": [0, 2],
}
WRONG: dict[str, Any] = {"logits": [[1e4, -1e4, 0.0], [120.0, -50.0, 50.0]], "labels": [1, 2]}
ONE: dict[str, Any] = {"logits": randoms(403, 3, 4), "labels": [0, 3, 1]}


def at(x: Any, index: Any) -> Any:
    return np.array([row[i] for row, i in zip(x, index, strict=True)], dtype=object)


def rival(z: Any, index: Any) -> Any:
    """The place of the largest other number, the first of equal ones."""
    found = []
    for row, i in zip(z, index, strict=True):
        others = [k for k in range(len(row)) if k != i]
        found.append(max(others, key=lambda k: (row[k], -k)))  # used at once
    return found


def divergence(p: Any, q: Any) -> Any:
    """Of logits."""
    log_p, log_q = log_softmax(p), log_softmax(q)
    return (exp(log_p) * (log_p - log_q)).sum(axis=1)


def _boosted(params: Any, logits: Any, labels: Any) -> Any:
    log_p = log_softmax(logits)
    best = rival(logits, labels)
    rest = [
        mp.log(mp.fsum(mp.exp(x) for k, x in enumerate(row) if k != best[i]))
        for i, row in enumerate(log_p)
    ]
    return -at(log_p, labels) - np.array(rest, dtype=object)


def _mart(params: Any, clean_logits: Any, adversarial_logits: Any, labels: Any) -> Any:
    doubt = 1 - exp(at(log_softmax(clean_logits), labels))
    part = mpf(params.get("beta", 6.0)) * divergence(clean_logits, adversarial_logits) * doubt
    return _boosted(params, adversarial_logits, labels) + part


def boosted_cross_entropy() -> list[dict[str, Any]]:
    two = {"logits": [[1.0, 2.0], [-3.0, 0.5]], "labels": [0, 1]}
    wrt = ("logits",)
    return [
        array_case(f"smooth: {PAPER}", _boosted, ONE, wrt=wrt),
        array_case(f"{PAPER}, logits of 1e4", _boosted, WRONG, wrt=wrt),
        array_case(f"{PAPER}, two classes", _boosted, two, wrt=wrt),
    ]


def mart() -> list[dict[str, Any]]:
    return [
        array_case(f"smooth: {PAPER}", _mart, BOTH, wrt=PAIR),
        array_case(f"{PAPER}, logits of 1e4", _mart, FAR, {"beta": 2.0}, wrt=PAIR),
        array_case(f"{PAPER}, beta 0", _mart, BOTH, {"beta": 0.0}, wrt=PAIR),
    ]


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(z, y, reduction="none")


def _kl(p: Tensor, q: Tensor) -> Tensor:
    logs = (torch.log_softmax(x, 1) for x in (q, p))
    return torch.nn.functional.kl_div(*logs, reduction="none", log_target=True).sum(1)


def logit_pairing() -> list[dict[str, Any]]:
    def values(weight: float, both: bool) -> Any:
        def of(clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor) -> Tensor:
            distance = torch.nn.functional.mse_loss(
                clean_logits, adversarial_logits, reduction="none"
            ).sum(1)
            found = _cross_entropy(adversarial_logits, labels)
            if both:
                found = (found + _cross_entropy(clean_logits, labels)) / 2
            return found + weight * distance

        return of

    only = {"pairing": 2.0, "classify": "adversarial"}
    return [
        torch_case(f"smooth: {TORCH}", values(0.5, True), BOTH, wrt=PAIR),
        torch_case(f"{TORCH}, the perturbed one only", values(2.0, False), BOTH, only, wrt=PAIR),
        torch_case(f"{TORCH}, logits of 1e4", values(0.5, True), FAR, wrt=PAIR),
    ]


def virtual_adversarial() -> list[dict[str, Any]]:
    def values(clean_logits: Tensor, adversarial_logits: Tensor) -> Tensor:
        return _kl(clean_logits.detach(), adversarial_logits)

    wrt = ("adversarial_logits",)
    both, far = ({key: x[key] for key in PAIR} for x in (BOTH, FAR))
    excluded = {"clean_logits": [[0.0, "-Infinity", 1.0]],
                "adversarial_logits": [[0.5, "-Infinity", 0.0]]}  # fmt: skip

    def masked(params: Any, clean_logits: Any, adversarial_logits: Any) -> Any:
        return divergence(clean_logits, adversarial_logits)

    kept = {"clean_logits": [[0.0, 1.0]], "adversarial_logits": [[0.5, 0.0]]}
    found = array_case(f"{PAPER}, a class that cannot be", masked, kept, wrt=wrt)
    (first, last), *_ = found["gradients"]["adversarial_logits"]
    found |= {"inputs": excluded, "gradients": {wrt[0]: [[first, 0.0, last]]}}
    return [
        torch_case(f"smooth: {TORCH}", values, both, wrt=wrt),
        torch_case(f"{TORCH}, logits of 1e4", values, far, wrt=wrt),
        found,
    ]


def carlini_wagner() -> list[dict[str, Any]]:
    def formula(params: Any, logits: Any, labels: Any) -> Any:
        lead = at(logits, labels) - at(logits, rival(logits, labels))
        lead = -lead if params.get("targeted") else lead
        return np.maximum(lead, -mpf(params.get("kappa", 0.0)))

    wrt = ("logits",)
    ties = {"logits": [[1.0, 1.0, 0.0], [2.0, 3.0, 3.0]], "labels": [0, 0]}
    return [
        array_case(f"smooth: {PAPER}", formula, ONE, {"kappa": 8.0}, wrt=wrt),
        array_case(f"{PAPER}, targeted", formula, ONE, {"targeted": True, "kappa": 0.5}, wrt=wrt),
        array_case(f"{PAPER}, logits of 1e4", formula, WRONG, wrt=wrt),
        array_case(f"{PAPER}, at -kappa and equal rivals", formula, ties, {"kappa": 1.0}, wrt=(),
                   kinks={"logits": [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]}),
    ]  # fmt: skip


def dlr() -> list[dict[str, Any]]:
    def formula(params: Any, logits: Any, labels: Any, target_labels: Any = None) -> Any:
        order = [sorted(range(len(row)), key=lambda k: -row[k]) for row in logits]
        ranked = [at(logits, [each[i] for each in order]) for i in range(logits.shape[1])]
        if target_labels is None:
            lead, low = at(logits, labels) - at(logits, rival(logits, labels)), ranked[2]
        else:
            lead, low = at(logits, labels) - at(logits, target_labels), (ranked[2] + ranked[3]) / 2
        spread = ranked[0] - low
        return np.array([-a / b if b else mpf(0) for a, b in zip(lead, spread, strict=True)])

    wrt = ("logits",)
    flat = {"logits": [[2.0, 2.0, 2.0, 1.0]], "labels": [0]}
    return [
        array_case(f"smooth: {PAPER}", formula, ONE, wrt=wrt),
        array_case(f"smooth: {PAPER}, targeted", formula, {**ONE, "target_labels": [2, 0, 3]},
                   wrt=wrt),
        array_case(f"{PAPER}, logits of 1e4", formula, WRONG, wrt=wrt),
        array_case(f"{PAPER}, three equal leaders", formula, flat, wrt=(),
                   kinks={"logits": [[0.0] * 4]}),
    ]  # fmt: skip


def guided_adversarial() -> list[dict[str, Any]]:
    def values(weight: float) -> Any:
        def of(clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor) -> Tensor:
            answers = (torch.softmax(x, 1) for x in (clean_logits, adversarial_logits))
            apart = torch.nn.functional.mse_loss(*answers, reduction="none").sum(1)
            return _cross_entropy(clean_logits, labels) + weight * apart

        return of

    return [
        torch_case(f"smooth: {TORCH}", values(10.0), BOTH, wrt=PAIR),
        torch_case(f"{TORCH}, logits of 1e4", values(10.0), FAR, wrt=PAIR),
        torch_case(f"{TORCH}, weight 0", values(0.0), BOTH, {"weight": 0.0}, wrt=PAIR),
    ]


def helper_adversarial() -> list[dict[str, Any]]:
    def values(beta: float, gamma: float) -> Any:
        def of(
            clean_logits: Tensor, adversarial_logits: Tensor, helper_logits: Tensor,
            labels: Tensor, helper_labels: Tensor,
        ) -> Tensor:  # fmt: skip
            found = _cross_entropy(clean_logits, labels) + beta * _kl(
                clean_logits, adversarial_logits
            )
            return found + gamma * _cross_entropy(helper_logits, helper_labels)

        return of

    wrt = (*PAIR, "helper_logits")
    inputs = {**BOTH, "helper_logits": randoms(404, 3, 4), "helper_labels": labels(405, 4, 3)}
    far = {**FAR, "helper_logits": [[-1e4, 1e4, 0.0], [0.0, 50.0, -50.0]], "helper_labels": [0, 2]}
    return [
        torch_case(f"smooth: {TORCH}", values(2.5, 0.5), inputs, wrt=wrt),
        torch_case(f"{TORCH}, logits of 1e4", values(2.5, 0.5), far, wrt=wrt),
        torch_case(f"{TORCH}, other weights", values(1.0, 0.0), inputs,
                   {"beta": 1.0, "gamma": 0.0}, wrt=wrt),
    ]  # fmt: skip


def jensen_shannon_consistency() -> list[dict[str, Any]]:
    def formula(params: Any, logits: Any) -> Any:
        p = exp(log_softmax(logits))
        mean = p.sum(axis=2, keepdims=True) / p.shape[2]
        ratio = np.frompyfunc(lambda a, b: a * mp.log(a / b), 2, 1)(p, mean)
        return ratio.sum(axis=(1, 2)) / p.shape[2]

    wrt = ("logits",)
    far = {"logits": [[[1e4, 0.0, 50.0], [-1e4, 0.0, -50.0]], [[120.0, -120.0, 0.0], [0.0] * 3]]}
    return [
        array_case(f"smooth: {PAPER}", formula, {"logits": randoms(406, 2, 4, 3)}, wrt=wrt),
        array_case(f"{PAPER}, logits of 1e4", formula, far, wrt=wrt),
        array_case(f"{PAPER}, one view", formula, {"logits": randoms(407, 2, 3, 1)}, wrt=wrt),
    ]


def _lengths(input_gradients: Any, gradient_norms: Any) -> Any:
    if gradient_norms is not None:
        return gradient_norms
    flat = input_gradients.reshape(len(input_gradients), -1)
    return np.array([mp.sqrt(mp.fsum(x * x for x in row)) for row in flat], dtype=object)


def _penalty(params: Any, input_gradients: Any = None, gradient_norms: Any = None) -> Any:
    excess = _lengths(input_gradients, gradient_norms) - mpf(params.get("target", 1.0))
    return (np.maximum(excess, mpf(0)) if params.get("one_sided") else excess) ** 2


def _r1(params: Any, input_gradients: Any = None, gradient_norms: Any = None) -> Any:
    return mpf(params.get("gamma", 10.0)) / 2 * _lengths(input_gradients, gradient_norms) ** 2


GRADIENTS = {"input_gradients": randoms(408, 3, 2, 2)}
NORMS = {"gradient_norms": [0.0, 0.5, 3.0]}
TINY = {"input_gradients": [[3e-30, 4e-30], [0.0, 0.0], [3e15, 4e15]]}


def gradient_penalty() -> list[dict[str, Any]]:
    by, norm = ("input_gradients",), ("gradient_norms",)
    tiny = array_case(f"{PAPER}, lengths of 5e-30, 0 and 5e15", _penalty, TINY, wrt=by)
    tiny["gradients"]["input_gradients"][1] = [0.0, 0.0]
    side = {"one_sided": True, "target": 2.0}
    return [
        array_case(f"smooth: {PAPER}", _penalty, GRADIENTS, wrt=by),
        array_case(f"{PAPER}, lengths", _penalty, NORMS, wrt=norm),
        array_case(f"{PAPER}, one-sided", _penalty, GRADIENTS, side, wrt=by),
        tiny,
    ]


def r1_penalty() -> list[dict[str, Any]]:
    by, norm = ("input_gradients",), ("gradient_norms",)
    return [
        array_case(f"smooth: {PAPER}", _r1, GRADIENTS, wrt=by),
        array_case(f"{PAPER}, lengths", _r1, NORMS, {"gamma": 0.5}, wrt=norm),
        array_case(f"{PAPER}, 0 and 5e15", _r1, {"input_gradients": TINY["input_gradients"][1:]},
                   wrt=by),
    ]  # fmt: skip


CASES = {
    "boosted_cross_entropy": boosted_cross_entropy,
    "mart": mart,
    "logit_pairing": logit_pairing,
    "virtual_adversarial": virtual_adversarial,
    "carlini_wagner": carlini_wagner,
    "dlr": dlr,
    "guided_adversarial": guided_adversarial,
    "helper_adversarial": helper_adversarial,
    "jensen_shannon_consistency": jensen_shannon_consistency,
    "gradient_penalty": gradient_penalty,
    "r1_penalty": r1_penalty,
}
