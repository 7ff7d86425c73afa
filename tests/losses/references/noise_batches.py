"""bi_tempered, dmi, positive_unlabelled, label_distribution_disentangling."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax_bitempered_loss import loss as google
from mpmath import mp, mpf

from references._labelled import DIGITS, FAR, MASKED, NEAR, by_hand, item_case
from references._mp import finish, log_softmax, number, softplus
from references._torch import randoms

mp.dps = 50


def _log_t(x: Any, t: Any) -> Any:
    return mp.log(x) if t == 1 else (x ** (1 - t) - 1) / (1 - t)


def _exp_t(u: Any, t: Any) -> Any:
    if t == 1:
        return mp.exp(u)
    inner = 1 + (1 - t) * u
    return mpf(0) if inner <= 0 else inner ** (1 / (1 - t))


def _tempered(z: list[Any], t: Any) -> list[Any]:
    """By bisection to the last digit: more of them where mpmath differentiates."""
    finite = [x for x in z if x != -mp.inf]
    low, high = max(finite), max(finite) - _log_t(1 / mpf(len(finite)), t)
    for _ in range(mp.prec + 20):
        middle = (low + high) / 2
        if sum(_exp_t(x - middle, t) for x in finite) >= 1:
            low = middle
        else:
            high = middle
    return [mpf(0) if x == -mp.inf else _exp_t(x - low, t) for x in z]


def _bi_tempered(params: Any, logits: Any, labels: Any) -> Any:
    t1, t2 = mpf(params.get("t1", 0.8)), mpf(params.get("t2", 1.3))
    a = mpf(params.get("label_smoothing", 0.0))
    p = _tempered(logits, t2)
    possible = [x != -mp.inf for x in logits]
    total = mpf(0)
    for k, x in enumerate(p):
        t = (1 - a) * (k == labels) + a * possible[k] / sum(possible)
        if t:
            total += t * _log_t(t, t1) - t ** (2 - t1) / (2 - t1)
            total -= t * _log_t(x, t1)
        total += x ** (2 - t1) / (2 - t1)
    return total


def _checked_with_google(case: dict[str, Any], iterations: int) -> dict[str, Any]:
    """Their float64 fixed point (t2 > 1), or bisection (t2 < 1), run long enough."""
    params = case["params"]
    one_hot = jnp.asarray(np.eye(3)[case["inputs"]["labels"]])

    def theirs(logits: Any) -> Any:
        return google.bi_tempered_logistic_loss(
            logits, one_hot, params.get("t1", 0.8), params.get("t2", 1.3), 0.0, iterations
        )

    logits = jnp.asarray(case["inputs"]["logits"])
    np.testing.assert_allclose(theirs(logits), case["values"], rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda z: theirs(z).sum())(logits)
    np.testing.assert_allclose(gradient, case["gradients"]["logits"], rtol=1e-4, atol=1e-5)
    return case


def bi_tempered() -> list[dict[str, Any]]:
    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return item_case(source, _bi_tempered, inputs, params)

    smooth, large = f"smooth: {DIGITS}", f"{DIGITS}: logits to 1e4"
    name = f"{smooth}; checked with jax-bitempered-loss 0.0.2"
    near = {"logits": [[0.5, 0.25, -0.5], [0.0, 0.375, -0.25]], "labels": [0, 2]}
    never = {"logits": [[9.0, 0.0, "-Infinity"]], "labels": [1]}
    return [
        _checked_with_google(case(name, NEAR), 60),
        _checked_with_google(case(name, near, t1=0.5, t2=0.5), 40),
        case(f"{smooth}: t1 = t2 = 1", NEAR, t1=1.0, t2=1.0),
        case(f"{smooth}: smoothing", NEAR, t1=0.25, t2=4.0, label_smoothing=0.25),
        case(large, {k: x[:5] for k, x in FAR.items()}),
        case(large, {k: x[:5] for k, x in FAR.items()}, t1=1.0, t2=2.0),
        case(f"{DIGITS}: masks, an ignored row of -inf", MASKED, ignore_index=-100),
        by_hand(
            "a label beyond the support of t2 < 1 costs 1 / (1 - t1) and has no gradient",
            never,
            {"t1": 0.5, "t2": 0.5},
            [2.0],
            1.0,
            logits=[[0.0, 0.0, 0.0]],
        ),
    ]


def dmi() -> list[dict[str, Any]]:
    labels = [0, 1, 2, 0, 1]
    near = {"logits": randoms(331, 5, 3), "labels": labels}

    def f(params: Any, logits: Any, labels: Any) -> Any:
        size = len(logits[0])
        joint = mp.matrix(size, size)
        for z, y in zip(logits, labels, strict=True):
            for k, x in enumerate(log_softmax(z)):
                joint[k, y] += mp.exp(x) / len(logits)
        return -mp.log(abs(mp.det(joint)) + mpf(params.get("eps", 0.0)))

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return _whole(source, f, inputs, params, "logits")

    def theirs(params: Any, logits: Any, labels: Any) -> Any:
        joint = torch.softmax(logits, 1).T @ torch.nn.functional.one_hot(labels).double()
        return -(torch.det(joint / len(logits)).abs() + params.get("eps", 0.0)).log()

    far = {
        "logits": [[50.0, -50.0], [1e4, -1e4], [-120.0, 120.0], [-1.0, 1.0]],
        "labels": [0, 0, 1, 1],
    }
    missing = {"logits": [[1.0, 2.0], [0.5, 0.0]], "labels": [1, 1]}
    hand = {"inputs": missing, "gradients": {"logits": [[0.0, 0.0], [0.0, 0.0]]}}
    return [
        _of_torch("smooth: torch 2.13.0 torch.det", theirs, near, {}, "logits"),
        _of_torch("smooth: torch 2.13.0 torch.det", theirs, near, {"eps": 0.125}, "logits"),
        case(f"{DIGITS}: logits to 1e4", far),
        {"from": "by hand: a class without items", "params": {}, "values": "Infinity"} | hand,
        {"from": "by hand: the same, with eps", "params": {"eps": 1.0}, "values": 0.0} | hand,
    ]


def positive_unlabelled() -> list[dict[str, Any]]:
    near = {"scores": randoms(332, 6), "labels": [1, 0, 1, 0, 0, 0]}

    def f(params: Any, scores: Any, labels: Any) -> Any:
        logistic = params.get("surrogate") == "logistic"
        prior, beta = mpf(params.get("prior", 0.5)), mpf(params.get("beta", 0.0))

        def loss(m: Any) -> Any:
            return softplus(-m) if logistic else 1 / (1 + mp.exp(m))

        def mean(sign: int, side: int) -> Any:
            terms = [loss(sign * s) for s, y in zip(scores, labels, strict=True) if y == side]
            return sum(terms, mpf(0)) / max(len(terms), 1)

        negative = mean(-1, 0) - prior * mean(-1, 1)
        if params.get("non_negative", True):
            negative = max(negative, -beta)
        return prior * mean(1, 1) + negative

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return _whole(source, f, inputs, params, "scores")

    smooth = f"smooth: paper only: {DIGITS}"
    cut = {"scores": [3.0, 2.5, -2.0, -1.5, 0.25], "labels": [1, 1, 0, 0, 0]}
    far = {"scores": [1e4, -1e4, 120.0, -120.0, 50.0, 0.0], "labels": [1, 0, 0, 1, 1, 0]}
    none = {"scores": [0.5, -1.0], "labels": [0, 0]}
    at_kink = {
        "from": "by hand: at the kink the negative part has no gradient",
        "inputs": {"scores": [50.0, 0.0], "labels": [1, 0]},
        "params": {},
        "values": 0.0,
        "gradients": {"scores": [0.0, 0.0]},
    }
    return [
        case(smooth, near, prior=0.25),
        case(smooth, near, prior=0.25, surrogate="logistic", non_negative=False),
        case(f"{smooth}: cut", cut, prior=0.75),
        case(f"{smooth}: not cut yet", cut, prior=0.75, beta=1.0),
        case(f"{DIGITS}: scores to 1e4", far, surrogate="logistic", non_negative=False),
        case(f"{DIGITS}: no positives", none),
        at_kink,
    ]


def label_distribution_disentangling() -> list[dict[str, Any]]:
    counts = [64.0, 16.0, 1.0]
    near = {"logits": randoms(333, 5, 3), "labels": [0, 1, 2, 0, 1], "class_counts": counts}

    def f(params: Any, logits: Any, labels: Any, class_counts: Any) -> Any:
        n, size, total = number(class_counts), len(logits[0]), mpf(0)
        for c in range(size):
            prior = n[c] / sum(n)
            column = [z[c] for z in logits]
            top = max(column)
            s = top + mp.log(sum(mp.exp(x - top) for x in column) / len(column) / size / prior)
            own = [x for x, y in zip(column, labels, strict=True) if y == c]
            mean = sum(own, mpf(0)) / max(len(own), 1)
            total += prior * (s + mpf(params.get("coefficient", 0.1)) * s * s - mean)
        return total

    def theirs(params: Any, logits: Any, labels: Any) -> Any:
        prior = torch.tensor(counts).double() / sum(counts)
        inside = torch.nn.functional.one_hot(labels, 3)
        first = (logits * inside).sum(0) / inside.sum(0)
        spread = logits - prior.log() + torch.tensor(1 / 3, dtype=torch.float64).log()
        second = torch.logsumexp(spread, 0) - np.log(len(logits))
        return -((first - second - 0.1 * second**2) * prior).sum()

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return _whole(source, f, inputs, params, "logits")

    far = {"logits": FAR["logits"][:4], "labels": FAR["labels"][:4], "class_counts": counts}
    small = {"logits": [[0.5, -0.25]], "labels": [1], "class_counts": [2.0, 6.0]}
    made = _of_torch("smooth: torch 2.13.0, formula of the paper", theirs, near, {}, "logits")
    return [
        made,
        case(f"smooth: {DIGITS}", near, coefficient=0.0),
        case(f"{DIGITS}: logits to 1e4, a class without items", far),
        case(f"{DIGITS}: one item", small, coefficient=2.0),
    ]


def _whole(source: str, formula: Any, inputs: Any, params: Any, key: str) -> dict[str, Any]:
    """One value for the call; gradients by differentiating the formula at every element."""
    given = {name: number(x) if name == key else x for name, x in inputs.items()}

    def slope(x: Any, put: Any) -> Any:
        if isinstance(x, list):
            return [
                slope(each, lambda t, i=i: put([*x[:i], t, *x[i + 1 :]]))
                for i, each in enumerate(x)
            ]
        return mp.diff(lambda t: formula(params, **{**given, key: put(t)}), x)

    return {
        "from": source,
        "inputs": inputs,
        "params": params,
        "values": finish(formula(params, **given)),
        "gradients": {key: finish(slope(given[key], lambda t: t))},
    }


def _of_torch(source: str, theirs: Any, inputs: Any, params: Any, key: str) -> dict[str, Any]:
    leaf = torch.tensor(inputs[key], dtype=torch.float64, requires_grad=True)
    value = theirs(params, leaf, torch.tensor(inputs["labels"]))
    (gradient,) = torch.autograd.grad(value, leaf)
    return {
        "from": source,
        "inputs": inputs,
        "params": params,
        "values": value.item(),
        "gradients": {key: gradient.tolist()},
    }


CASES = {
    "bi_tempered": bi_tempered,
    "dmi": dmi,
    "positive_unlabelled": positive_unlabelled,
    "label_distribution_disentangling": label_distribution_disentangling,
}
