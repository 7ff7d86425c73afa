"""kl_divergence, adversarial, distillation."""

from typing import Any

import jax
import optax
import torch.nn.functional as F
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms, torch_case

FAR_P = [
    [50.0, -50.0, 0.0],
    [120.0, -120.0, 119.0],
    [1e4, -1e4, 0.0],
    [0.0, 0.0, 0.0],
    [1.0, -INF, 2.0],
    [1.0, -INF, 2.0],
]
FAR_Q = [
    [-50.0, 50.0, 0.0],
    [-120.0, 120.0, 0.0],
    [0.0, 1e4, -1e4],
    [0.0, 0.0, 0.0],
    [2.0, -INF, 1.0],
    [2.0, 0.0, 1.0],
]
DIGITS = "mpmath 1.3.0, 50 digits"


def _kl(log_p: Any, log_q: Any) -> Any:
    pairs = zip(log_p, log_q, strict=True)
    return sum((mp.exp(a) * (a - b) for a, b in pairs if a != -mp.inf), mpf(0))


def kl_divergence() -> list[dict[str, Any]]:
    def f(params: Any, **given: Any) -> Any:
        sides = []
        for side in "pq":
            logits, logs = given.get(f"{side}_logits"), given.get(f"{side}_log_probabilities")
            sides.append(logs if logits is None else log_softmax(logits))
        return _kl(*sides) if params.get("direction") != "reverse" else _kl(*reversed(sides))

    def theirs(p_log_probabilities: Any, q_log_probabilities: Any) -> Any:
        return optax.losses.kl_divergence_with_log_targets(q_log_probabilities, p_log_probabilities)

    def dense(p_logits: Any, q_logits: Any) -> Any:
        log_p, log_q = (jax.nn.log_softmax(x, axis=1) for x in (p_logits, q_logits))
        return (jax.numpy.exp(log_p) * (log_p - log_q)).sum(1)

    both = {"p_logits": randoms(51, 4, 3), "q_logits": randoms(52, 4, 3)}
    logs = {
        "p_log_probabilities": randoms(53, 4, 3, low=-4.0, high=0.0),
        "q_log_probabilities": randoms(54, 4, 3, low=-4.0, high=0.0),
    }
    mixed = {"p_log_probabilities": logs["p_log_probabilities"], "q_logits": both["q_logits"]}
    far = {"p_logits": FAR_P, "q_logits": FAR_Q}
    zeros = {
        "p_log_probabilities": [[-INF, 0.0], [0.0, -INF]],
        "q_log_probabilities": [[-1.0, -0.5], [-0.5, -INF]],
    }
    z, reverse = ("p_logits", "q_logits"), {"direction": "reverse"}
    back = {"p_logits": FAR_Q, "q_logits": FAR_P}
    return [
        row_case(f"smooth: {DIGITS}", f, both, wrt=z),
        row_case(f"smooth: {DIGITS}: reverse", f, both, reverse, wrt=z),
        jax_case(
            "smooth: optax 0.2.8 kl_divergence_with_log_targets", theirs, logs, wrt=tuple(logs)
        ),
        row_case(
            f"smooth: {DIGITS}: logits against logarithms", f, mixed, reverse, wrt=tuple(mixed)
        ),
        jax_case(
            "smooth: jax 0.10.2, formula on log_softmax, dense",
            dense,
            {"p_logits": randoms(55, 2, 3, 2), "q_logits": randoms(56, 2, 3, 2)},
            wrt=z,
        ),
        row_case(f"{DIGITS}: logits to 1e4, -inf masks", f, far, wrt=z),
        row_case(f"{DIGITS}: logits to 1e4, -inf masks, reverse", f, back, reverse, wrt=z),
        row_case(f"{DIGITS}: 0 log 0 is 0", f, zeros, wrt=tuple(zeros)),
        {
            "from": "by hand: q = 0 < p costs infinity, and the term has no gradient by ruling",
            "inputs": {
                "p_log_probabilities": [[0.0, "-Infinity"]],
                "q_log_probabilities": [["-Infinity", 0.0]],
            },
            "params": {},
            "values": ["Infinity"],
            "gradients": {
                "p_log_probabilities": [[0.0, 0.0]],
                "q_log_probabilities": [[0.0, 0.0]],
            },
        },
    ]


def adversarial() -> list[dict[str, Any]]:
    wrt = ("clean_logits", "adversarial_logits")

    def f(params: Any, clean_logits: Any, adversarial_logits: Any, labels: Any) -> Any:
        clean, other = log_softmax(clean_logits), log_softmax(adversarial_logits)
        first, second = (clean, other)
        if params.get("direction") == "adversarial_clean":
            first, second = other, clean
        return -clean[labels] + mpf(params.get("beta", 6.0)) * _kl(first, second)

    def trades(beta: float, detach: str) -> Any:
        def loss(clean_logits: Any, adversarial_logits: Any, labels: Any) -> Any:
            ce = optax.softmax_cross_entropy_with_integer_labels(clean_logits, labels)
            a = jax.nn.log_softmax(clean_logits)
            b = jax.nn.log_softmax(adversarial_logits)
            a = jax.lax.stop_gradient(a) if detach == "clean" else a
            b = jax.lax.stop_gradient(b) if detach == "adversarial" else b
            return ce + beta * optax.losses.kl_divergence_with_log_targets(b, a)

        return loss

    near = {
        "clean_logits": randoms(57, 4, 3),
        "adversarial_logits": randoms(58, 4, 3),
        "labels": labels(59, 3, 4),
    }
    far = {"clean_logits": FAR_P, "adversarial_logits": FAR_Q, "labels": [1, 0, 2, 0, 0, 2]}
    name = "optax 0.2.8 cross entropy and kl_divergence_with_log_targets"
    dense = {
        "clean_logits": randoms(60, 2, 3, 2),
        "adversarial_logits": randoms(61, 2, 3, 2),
        "labels": labels(62, 3, 2, 2),
    }

    def flat(clean_logits: Any, adversarial_logits: Any, labels: Any) -> Any:
        turned = (x.transpose(0, 2, 1) for x in (clean_logits, adversarial_logits))
        return trades(6.0, "none")(*turned, labels)

    return [
        jax_case(f"smooth: {name}", trades(6.0, "none"), near, wrt=wrt),
        jax_case(f"smooth: {name}, dense", flat, dense, wrt=wrt),
        jax_case(
            f"{name}, clean detached",
            trades(1.0, "clean"),
            near,
            {"beta": 1.0, "detach": "clean"},
            wrt=wrt,
        ),
        jax_case(
            f"{name}, adversarial detached",
            trades(6.0, "adversarial"),
            near,
            {"detach": "adversarial"},
            wrt=wrt,
        ),
        row_case(
            f"smooth: {DIGITS}: reversed", f, near, {"direction": "adversarial_clean"}, wrt=wrt
        ),
        row_case(f"smooth: {DIGITS}: beta 0", f, near, {"beta": 0.0}, wrt=wrt),
        row_case(f"{DIGITS}: logits to 1e4, -inf masks", f, far, wrt=wrt),
    ]


def _distillation(params: Any, student_logits: Any, teacher_logits: Any, labels: Any = None) -> Any:
    if labels is not None and labels == params.get("ignore_index"):
        return mpf(0)
    t = mpf(params.get("temperature", 4.0))
    log_p, log_q = (
        log_softmax([mpf(x) / t for x in side]) for side in (teacher_logits, student_logits)
    )
    soft = _kl(log_p, log_q) * (t * t if params.get("scale_by_temperature_squared", True) else 1)
    if labels is None:
        return soft
    alpha = mpf(params.get("alpha", 0.1))
    return (1 - alpha) * soft - alpha * log_softmax(student_logits)[labels]


def distillation() -> list[dict[str, Any]]:
    def theirs(temperature: float, alpha: float) -> Any:
        def loss(student_logits: Any, teacher_logits: Any, labels: Any = None) -> Any:
            log_p, log_q = (
                F.log_softmax(x / temperature, 1) for x in (teacher_logits, student_logits)
            )
            soft = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
            soft = soft * temperature**2
            if labels is None:
                return soft
            hard = F.cross_entropy(student_logits, labels, reduction="none")
            return (1 - alpha) * soft + alpha * hard

        return loss

    def counts(params: Any, student_logits: Any, teacher_logits: Any, labels: Any = None) -> Any:
        return mpf(labels is None or labels != params.get("ignore_index"))

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        return row_case(source, _distillation, inputs, params, wrt=wrt, weight=counts)

    wrt = ("student_logits",)
    alone = {"student_logits": randoms(63, 4, 3), "teacher_logits": randoms(64, 4, 3)}
    taught = alone | {"labels": labels(65, 3, 4)}
    far = {"student_logits": FAR_Q, "teacher_logits": FAR_P}
    ignored = {
        "student_logits": [[1.0, 2.0, 3.0], [-INF] * 3, [0.0, 1.0, -INF]],
        "teacher_logits": [[0.0, 2.0, 1.0], [-INF] * 3, [1.0, 1.0, -INF]],
        "labels": [2, -100, 0],
    }
    dense = {
        "student_logits": randoms(66, 2, 3, 2),
        "teacher_logits": randoms(67, 2, 3, 2),
        "labels": labels(68, 3, 2, 2),
    }
    name = "torch 2.13.0 F.kl_div and F.cross_entropy"
    hard = {"temperature": 2.0, "alpha": 0.25}
    return [
        torch_case(f"smooth: {name}", theirs(4.0, 0.1), alone, wrt=wrt, denominator=4.0),
        torch_case(
            f"smooth: {name}, labels", theirs(2.0, 0.25), taught, hard, wrt=wrt, denominator=4.0
        ),
        torch_case(f"smooth: {name}, dense", theirs(4.0, 0.1), dense, wrt=wrt, denominator=4.0),
        case(f"smooth: {DIGITS}: not scaled", taught, scale_by_temperature_squared=False),
        case(f"smooth: {DIGITS}: temperature 1000", alone, temperature=1000.0),
        case(f"{DIGITS}: logits to 1e4, -inf masks", far, temperature=1.0),
        case(f"{DIGITS}: logits to 1e4, -inf masks, temperature 1/64", far, temperature=2.0**-6),
        case(f"{DIGITS}: an ignored row of -inf", ignored, ignore_index=-100, alpha=0.5),
        {
            "from": "by hand: equal logits differ by nothing, in value and in gradient",
            "inputs": {"student_logits": [[2.0, 0.0]], "teacher_logits": [[2.0, 0.0]]},
            "params": {},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"student_logits": [[0.0, 0.0]]},
        },
        {
            "from": "by hand: a class that only the student excludes costs infinity, by ruling "
            "without a gradient",
            "inputs": {
                "student_logits": [["-Infinity", 0.0]],
                "teacher_logits": [[0.0, "-Infinity"]],
            },
            "params": {},
            "values": ["Infinity"],
            "denominator": 1.0,
            "gradients": {"student_logits": [[0.0, 0.0]]},
        },
    ]


CASES = {
    "kl_divergence": kl_divergence,
    "adversarial": adversarial,
    "distillation": distillation,
}
