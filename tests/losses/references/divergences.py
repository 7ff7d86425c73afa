"""kl_divergence, adversarial."""

from typing import Any

import jax
import optax
from mpmath import mp, mpf

from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms

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


CASES = {"kl_divergence": kl_divergence, "adversarial": adversarial}
