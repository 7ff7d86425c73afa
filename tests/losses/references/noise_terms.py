"""Losses for noisy labels that are functions of the label's probability, or normalized."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from references._labelled import DIGITS, FAR, MASKED, NEAR, PIXELS, Z, by_hand, item_case
from references._mp import log_softmax
from references._torch import torch_case

IGNORING = {"ignore_index": -100}
IMPOSSIBLE = {"logits": [[0.0, "-Infinity", 0.0]], "labels": [1]}
STILL = [[0.0, 0.0, 0.0]]


def _cases(
    formula: Callable[..., Any],
    theirs: Callable[..., Any],
    at_zero: float | str,
    *params: dict[str, Any],
    gradient: Any = None,
) -> list[dict[str, Any]]:
    """Of each choice of parameters one smooth case; of the first all the others.

    `formula(params, log_p, label)` is one value, `theirs(p, label)` is torch's from probabilities
    at the first parameters. `at_zero` is the value where the label's class is impossible.
    """
    first, *rest = params

    def f(given: Any, logits: Any, labels: Any) -> Any:
        return formula(given, log_softmax(logits), labels)

    def of_torch(logits: Any, labels: Any) -> Any:
        p = torch.softmax(logits, 1)
        return theirs(p, p.gather(1, labels[:, None])[:, 0])

    def of_pixels(logits: Any, labels: Any) -> Any:
        flat = of_torch(logits.movedim(1, -1).reshape(-1, 3), labels.reshape(-1))
        return flat.reshape(labels.shape)

    name = "smooth: torch 2.13.0, formula of the paper on softmax"
    return [
        torch_case(name, of_torch, NEAR, first, wrt=Z, denominator=4.0),
        torch_case(f"{name}, by pixels", of_pixels, PIXELS, first, wrt=Z, denominator=4.0),
        *(item_case(f"smooth: {DIGITS}", f, NEAR, each) for each in rest),
        item_case(f"{DIGITS}: logits to 1e4", f, FAR, first),
        item_case(f"{DIGITS}: masks, an ignored row of -inf", f, MASKED, first | IGNORING),
        by_hand(
            "a label that cannot be", IMPOSSIBLE, first, [at_zero], 1.0, logits=gradient or STILL
        ),
    ]


def _miss(log_p: Any, y: int) -> Any:
    return -mp.expm1(log_p[y])


def reverse_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        return -mpf(params.get("log_zero", -4.0)) * _miss(log_p, y)

    return _cases(f, lambda p, own: 4 * (1 - own), 4.0, {}, {"log_zero": -8.5})


def symmetric_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        alpha, beta = mpf(params.get("alpha", 0.1)), mpf(params.get("beta", 1.0))
        return -alpha * log_p[y] - beta * mpf(params.get("log_zero", -4.0)) * _miss(log_p, y)

    def theirs(p: Any, own: Any) -> Any:
        return -0.5 * own.log() + 2 * 4 * (1 - own)

    first = {"alpha": 0.5, "beta": 2.0}
    made = _cases(f, theirs, "Infinity", first, {"log_zero": -8.5}, gradient=[[0.25, -0.5, 0.25]])
    none = {"alpha": 0.0}
    return [*made, by_hand("alpha 0 and log 0", IMPOSSIBLE, none, [4.0], 1.0, logits=STILL)]


def softmax_mean_absolute_error() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        return (1 if params.get("half") else 2) * _miss(log_p, y)

    return _cases(f, lambda p, own: p.sum(1) - own + 1 - own, 2.0, {}, {"half": True})


def taylor_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        miss = _miss(log_p, y)
        return sum(miss**i / i for i in range(1, params.get("order", 2) + 1))

    def theirs(p: Any, own: Any) -> Any:
        return (1 - own) + (1 - own) ** 2 / 2

    return _cases(f, theirs, 1.5, {}, {"order": 1}, {"order": 6})


def asymmetric_generalized_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        a, q = mpf(params.get("a", 1.0)), mpf(params.get("q", 2.0))
        return ((a + 1) ** q - (a + mp.exp(log_p[y])) ** q) / q

    return _cases(f, lambda p, own: (4 - (1 + own) ** 2) / 2, 1.5, {}, {"a": 0.25, "q": 0.5})


def asymmetric_unhinged() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        a, r = mpf(params.get("a", 1.5)), mpf(params.get("power", 0.9))
        return ((a - mp.exp(log_p[y])) ** r - (a - 1) ** r) / r

    def theirs(p: Any, own: Any) -> Any:
        return ((2 - own) ** 0.5 - 1) / 0.5

    first = {"a": 2.0, "power": 0.5}
    return _cases(f, theirs, float(2 * (mp.sqrt(2) - 1)), first, {}, {"a": 1.0625, "power": 3.0})


def asymmetric_exponential() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        return mp.exp(-mp.exp(log_p[y]) / mpf(params.get("a", 2.5)))

    return _cases(f, lambda p, own: torch.exp(-own / 2.5), 1.0, {}, {"a": 0.5})


def _per_class(name: str, params: Any) -> Callable[[Any], Any]:
    if "generalized" in name:
        q = mpf(params.get("q", 0.7))
        return lambda log_p: -mp.expm1(q * log_p) / q
    gamma = mpf(params.get("gamma", 0.5)) if "focal" in name else mpf(0)
    return lambda log_p: -((-mp.expm1(log_p)) ** gamma) * log_p


def _active(name: str, params: Any, log_p: Any, y: int) -> Any:
    term = _per_class(name, params)
    if not name.startswith("normalized"):
        return term(log_p[y])
    return term(log_p[y]) / sum(term(x) for x in log_p if x != -mp.inf)


def normalized_cross_entropy() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        return _active("normalized_cross_entropy", params, log_p, y)

    alone = {"logits": [[2.0, "-Infinity"]], "labels": [0]}
    return [
        *_cases(f, lambda p, own: own.log() / p.log().sum(1), 1.0, {}),
        by_hand("of one class nothing", alone, {}, [0.0], 1.0, logits=[[0.0, 0.0]]),
    ]


def normalized_focal() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        return _active("normalized_focal", params, log_p, y)

    def theirs(p: Any, own: Any) -> Any:
        return (1 - own) ** 2 * own.log() / ((1 - p) ** 2 * p.log()).sum(1)

    return _cases(f, theirs, 1.0, {"gamma": 2.0}, {}, {"gamma": 0.0})


def active_passive() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        active = params.get("active", "normalized_cross_entropy")
        passive = params.get("passive", "reverse_cross_entropy")
        possible = sum(1 for x in log_p if x != -mp.inf)
        factor = {
            "reverse_cross_entropy": -mpf(params.get("log_zero", -4.0)),
            "mean_absolute_error": mpf(2),
            "normalized_mean_absolute_error": 1 / mpf(possible - 1),
        }[passive]
        alpha, beta = mpf(params.get("alpha", 1.0)), mpf(params.get("beta", 1.0))
        return alpha * _active(active, params, log_p, y) + beta * factor * _miss(log_p, y)

    def theirs(p: Any, own: Any) -> Any:
        return own.log() / p.log().sum(1) + 4 * (1 - own)

    normalized = "normalized_generalized_cross_entropy"
    absolute = "normalized_mean_absolute_error"
    return [
        *_cases(
            f,
            theirs,
            5.0,
            {},
            {"active": "normalized_focal", "passive": "mean_absolute_error", "alpha": 0.5},
            {"active": normalized, "passive": absolute, "q": 0.5, "beta": 2.0},
            {"active": "generalized_cross_entropy", "passive": "mean_absolute_error"},
            {"active": "focal", "gamma": 2.0, "log_zero": -1.0},
        ),
        *_cases(
            f,
            lambda p, own: -10 * own.log() + (1 - own) / 2,
            "Infinity",
            {"active": "cross_entropy", "passive": absolute, "alpha": 10.0},
        )[2:4],
    ]


def bootstrap() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        beta = mpf(params.get("beta", 0.95))
        own = sum(mp.exp(x) * x for x in log_p if x != -mp.inf)
        if params.get("kind") == "hard":
            own = log_p[max(range(len(log_p)), key=lambda k: (log_p[k], -k))]
        return -beta * log_p[y] - (1 - beta) * own

    def theirs(p: Any, own: Any) -> Any:
        return -0.5 * own.log() - 0.5 * (p * p.log()).sum(1)

    hard = {"kind": "hard", "beta": 0.25}
    half = _cases(f, theirs, "Infinity", {"beta": 0.5}, hard, gradient=[[0.25, -0.5, 0.25]])
    far = item_case(
        f"{DIGITS}: logits to 1e4, ties",
        lambda params, logits, labels: f(params, log_softmax(logits), labels),
        {"logits": FAR["logits"][:4], "labels": FAR["labels"][:4]},
        hard,
    )
    return [*half, far]


def label_relaxation() -> list[dict[str, Any]]:
    def f(params: Any, log_p: Any, y: int) -> Any:
        a, log_miss = mpf(params.get("alpha", 0.1)), None
        if mp.exp(log_p[y]) >= 1 - a:
            return mpf(0)
        rest = [mp.exp(x) for k, x in enumerate(log_p) if k != y]
        log_miss = mp.log(sum(rest))
        of_others = a * (mp.log(a) - log_miss) if a else mpf(0)
        return (1 - a) * (mp.log(1 - a) - log_p[y]) + of_others

    def theirs(p: Any, own: Any) -> Any:
        target = torch.stack([torch.full_like(own, 0.75), torch.full_like(own, 0.25)], 1)
        value = F.kl_div(torch.stack([own, 1 - own], 1).log(), target, reduction="none").sum(1)
        return torch.where(own >= 0.75, 0.0, value)

    made = _cases(
        f, theirs, "Infinity", {"alpha": 0.25}, {"alpha": 0.0}, gradient=[[0.375, -0.75, 0.375]]
    )
    made[-1]["gradients"] = {"logits": [[0.375, -0.75, 0.375]]}
    border = {"logits": [[0.0, 0.0]], "labels": [0]}
    return [*made, by_hand("the border", border, {"alpha": 0.5}, [0.0], 1.0, logits=[[0.0, 0.0]])]


CASES = {
    "reverse_cross_entropy": reverse_cross_entropy,
    "symmetric_cross_entropy": symmetric_cross_entropy,
    "softmax_mean_absolute_error": softmax_mean_absolute_error,
    "taylor_cross_entropy": taylor_cross_entropy,
    "asymmetric_generalized_cross_entropy": asymmetric_generalized_cross_entropy,
    "asymmetric_unhinged": asymmetric_unhinged,
    "asymmetric_exponential": asymmetric_exponential,
    "normalized_cross_entropy": normalized_cross_entropy,
    "normalized_focal": normalized_focal,
    "active_passive": active_passive,
    "bootstrap": bootstrap,
    "label_relaxation": label_relaxation,
}
