"""Divergences, entropy and what softens labels: the family distribution."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction
from mpmath import mp, mpf
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from torch.distributions import Categorical
from torch.distributions.kl import kl_divergence

from references._agree import agreeing
from references._jax import jax_case
from references._mp import INF, log_softmax, row_case
from references._torch import labels, randoms, torch_case
from references.divergences import FAR_P, FAR_Q

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
Z, BOTH = ("logits",), ("p_logits", "q_logits")
PAIR = {"p_logits": randoms(71, 3, 3), "q_logits": randoms(72, 3, 3)}
DENSE = {"p_logits": randoms(73, 2, 3, 2), "q_logits": randoms(74, 2, 3, 2)}
FAR = {"p_logits": FAR_P, "q_logits": FAR_Q}
NEAR = {
    "p_logits": [[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]],
    "q_logits": [[0.5 + 2.0**-12, -1.0, 2.0], [0.0, 3.0, 2.0**-10 - 2.0]],
}
EXTREME = f"{DIGITS}: far apart and impossible classes"


def sides(p_logits: Any, q_logits: Any) -> Any:
    return [[mp.exp(x) for x in log_softmax(z)] for z in (p_logits, q_logits)]


def kl(p: Any, q: Any) -> Any:
    pairs = zip(p, q, strict=True)
    return sum((a * (mp.log(a) - mp.log(b)) for a, b in pairs if a), mpf(0))


def mixed(p: Any, q: Any, beta: Any) -> Any:
    m = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def soft(z: Any) -> Any:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def by_scipy(function: Any, pair: dict[str, Any]) -> Any:
    p, q = (soft(np.array(z)) for z in pair.values())
    return [function(a, b) for a, b in zip(p, q, strict=True)]


def jensen_shannon() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any) -> Any:
        return mixed(*sides(p_logits, q_logits), mpf("0.5"))

    def dense(p_logits: Any, q_logits: Any) -> Any:
        p, q = jax.nn.softmax(p_logits, 1), jax.nn.softmax(q_logits, 1)
        m = jnp.log((p + q) / 2)
        return sum(optax.kl_divergence(jnp.moveaxis(m, 1, -1), jnp.moveaxis(x, 1, -1)) / 2
                   for x in (p, q))  # fmt: skip

    square = by_scipy(lambda p, q: jensenshannon(p, q) ** 2, PAIR)
    return [
        agreeing(
            row_case(f"smooth: {DIGITS}; scipy 1.17.1 agrees", f, PAIR, wrt=BOTH), square, 1e-9
        ),
        jax_case("smooth: optax 0.2.8 kl_divergence from the mean, dense", dense, DENSE, wrt=BOTH),
        row_case(EXTREME, f, FAR, wrt=BOTH),
        row_case(f"{DIGITS}: near equality", f, NEAR, wrt=BOTH),
    ]


def generalized_jensen_shannon() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any) -> Any:
        p, q = sides(p_logits, q_logits)
        beta = mpf(params.get("beta", 0.5))
        return mixed(p, q, beta) if 0 < beta < 1 else kl(q, p) if beta else kl(p, q)

    def theirs(beta: float) -> Any:
        def values(p_logits: Any, q_logits: Any) -> Any:
            # Its own code sums over rows too, so it is asked row by row. p is the teacher.
            of = LigerFusedLinearJSDFunction.distillation_loss_fn
            return torch.stack(
                [of(q[None], p[None], beta) for p, q in zip(p_logits, q_logits, strict=True)]
            )

        return values

    def case(beta: float) -> dict[str, Any]:
        name = "smooth: liger-kernel 0.8.5 LigerFusedLinearJSDFunction"
        return torch_case(name, theirs(beta), PAIR, {"beta": beta}, wrt=BOTH)

    return [
        case(0.25),
        case(0.0),
        case(1.0),
        row_case(EXTREME, f, FAR, {"beta": 0.125}, wrt=BOTH),
        row_case(f"smooth: {DIGITS}: tiny beta", f, PAIR, {"beta": 2.0**-20}, wrt=BOTH),
    ]


def total_variation() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any) -> Any:
        return sum(abs(a - b) for a, b in zip(*sides(p_logits, q_logits), strict=True)) / 2

    def dense(p_logits: Any, q_logits: Any) -> Any:
        return F.l1_loss(p_logits.softmax(1), q_logits.softmax(1), reduction="none").sum(1) / 2

    equal = {"p_logits": [[1.0, 2.0]], "q_logits": [[1.0, 2.0]]}
    apart = {key: rows[:3] for key, rows in FAR.items()}
    return [
        row_case(f"smooth: {DIGITS}", f, PAIR, wrt=BOTH),
        torch_case("smooth: torch 2.13.0 F.l1_loss of softmax, dense", dense, DENSE, wrt=BOTH),
        row_case(f"{DIGITS}: far apart", f, apart, wrt=BOTH),
        row_case(
            f"{DIGITS}: equality, where the subgradient is 0 by ruling", f, equal, wrt=BOTH,
            kinks={key: [[0.0, 0.0]] for key in BOTH},
        ),
    ]  # fmt: skip


def hellinger() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any) -> Any:
        pairs = zip(*sides(p_logits, q_logits), strict=True)
        square = sum((mp.sqrt(a) - mp.sqrt(b)) ** 2 for a, b in pairs) / 2
        return square if params.get("squared") else mp.sqrt(square)

    equal = {"p_logits": [[1.0, 2.0]], "q_logits": [[1.0, 2.0]]}
    apart = {key: [*rows[:3], *rows[4:]] for key, rows in FAR.items()}
    apart["p_logits"][3] = [1.0, -INF, 2.5]
    return [
        row_case(f"smooth: {PAPER}", f, PAIR, wrt=BOTH),
        row_case(f"smooth: {PAPER}: squared", f, PAIR, {"squared": True}, wrt=BOTH),
        row_case(f"{PAPER}: far apart and impossible classes", f, apart, wrt=BOTH),
        row_case(f"{PAPER}: squared, near equality", f, NEAR, {"squared": True}, wrt=BOTH),
        row_case(
            f"{PAPER}: equality, where the subgradient is 0 by ruling", f, equal, wrt=BOTH,
            kinks={key: [[0.0, 0.0]] for key in BOTH},
        ),
    ]  # fmt: skip


def wasserstein_1() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any, positions: Any = (0, 1, 2)) -> Any:
        triples = sorted(zip(positions, *sides(p_logits, q_logits), strict=True))
        moved, value = mpf(0), mpf(0)
        for (x, a, b), (y, _, _) in pairwise(triples):
            moved += a - b
            value += (y - x) * abs(moved)
        return value

    def scipys(places: list[float]) -> Any:
        return by_scipy(lambda p, q: wasserstein_distance(places, places, p, q), PAIR)

    places = [0.5, 4.0, -2.0]
    name = f"smooth: {DIGITS}; scipy 1.17.1 wasserstein_distance agrees"
    apart = {key: rows[:3] for key, rows in FAR.items()}
    return [
        agreeing(row_case(name, f, PAIR, wrt=BOTH), scipys([0.0, 1.0, 2.0]), 1e-9),
        agreeing(
            row_case(name, f, PAIR, wrt=BOTH, shared={"positions": places}), scipys(places), 1e-9
        ),
        row_case(f"{DIGITS}: far apart", f, apart, wrt=BOTH),
        row_case(
            f"{DIGITS}: equality, where the subgradient is 0 by ruling", f,
            {"p_logits": [[1.0, 2.0, 0.0]], "q_logits": [[1.0, 2.0, 0.0]]}, wrt=BOTH,
            kinks={key: [[0.0, 0.0, 0.0]] for key in BOTH},
        ),
    ]  # fmt: skip


def renyi_divergence() -> list[dict[str, Any]]:
    def f(params: Any, p_logits: Any, q_logits: Any) -> Any:
        p, q = sides(p_logits, q_logits)
        alpha = mpf(params.get("alpha", 0.5))
        if alpha == 1:
            return kl(p, q)
        terms = (a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True) if a and b)
        return mp.log(sum(terms)) / (alpha - 1)

    def of(alpha: float, inputs: Any = PAIR, kind: str = "smooth: ") -> dict[str, Any]:
        return row_case(f"{kind}{PAPER}: {alpha}", f, inputs, {"alpha": alpha}, wrt=BOTH)

    def theirs(p_logits: Any, q_logits: Any) -> Any:
        return kl_divergence(Categorical(logits=p_logits), Categorical(logits=q_logits))

    nan = {"p_logits": [[1.0, 0.0], [0.0, 1.0]], "q_logits": [[1.0, "-Infinity"]] * 2}
    return [
        torch_case(
            "smooth: torch 2.13.0 distributions kl_divergence, alpha 1", theirs, PAIR,
            {"alpha": 1.0}, wrt=BOTH,
        ),
        of(0.5),
        of(3.0),
        of(1 + 2.0**-20),
        of(2.0, NEAR, ""),
        of(0.25, FAR, ""),
        {
            "from": "by hand: a class that only p has: +inf without a gradient",
            "inputs": nan,
            "params": {"alpha": 2.0},
            "values": ["Infinity", "Infinity"],
            "gradients": {"p_logits": [[0.0, 0.0]] * 2, "q_logits": [[0.0, 0.0]] * 2},
        },
    ]  # fmt: skip


FAR_Z = [[50.0, -50.0, 0.0], [120.0, 0.0, 119.0], [1e4, -1e4, 0.0], [1.0, -INF, 2.0], [3.0] * 3]


def entropy() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any) -> Any:
        log_p = log_softmax([x / mpf(params.get("temperature", 1)) for x in logits])
        return -sum((mp.exp(x) * x for x in log_p if x != -mp.inf), mpf(0))

    def theirs(logits: Any) -> Any:
        return Categorical(logits=logits).entropy()

    def dense(logits: Any) -> Any:
        p = jax.nn.softmax(logits, 1)
        return jax.scipy.special.entr(p).sum(1)

    rows = {"logits": PAIR["p_logits"]}
    return [
        torch_case("smooth: torch 2.13.0 distributions Categorical.entropy", theirs, rows, wrt=Z),
        jax_case("smooth: jax 0.10.2 entr of softmax, dense", dense,
                 {"logits": DENSE["p_logits"]}, wrt=Z),
        row_case(f"smooth: {DIGITS}: temperature", f, rows, {"temperature": 2.5}, wrt=Z),
        row_case(EXTREME, f, {"logits": FAR_Z}, wrt=Z),
    ]  # fmt: skip


LABELLED = {"logits": randoms(75, 4, 3), "labels": labels(76, 3, 4)}
FAR_LABELLED = {"logits": FAR_Z, "labels": [1, 2, 0, 0, 2]}
WEIGHTS = [0.5, 2.0, 0.25]


def _weight(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
    if labels == params.get("ignore_index"):
        return mpf(0)
    return mpf(1) if class_weights is None else mpf(class_weights[labels])


def confidence_penalty() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        weight = _weight(params, logits, labels, class_weights)
        if not weight:
            return mpf(0)
        log_p = log_softmax(logits)
        held = -sum((mp.exp(x) * x for x in log_p if x != -mp.inf), mpf(0))
        least, beta = params.get("threshold"), mpf(params.get("beta", 0.1))
        cost = -beta * held if least is None else beta * max(mpf(least) - held, mpf(0))
        return weight * (cost - log_p[labels])

    def theirs(logits: Any, labels: Any) -> Any:
        given = F.cross_entropy(logits, labels, reduction="none")
        return given - 0.5 * Categorical(logits=logits).entropy()

    def case(source: str, inputs: Any, params: Any, **more: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=_weight, **more)

    ignored = {"logits": [[1.0, 2.0, 0.0], [-INF] * 3], "labels": [1, -1]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy less half of Categorical.entropy", theirs,
            LABELLED, {"beta": 0.5}, wrt=Z, denominator=4.0,
        ),
        case(f"smooth: {DIGITS}: threshold", LABELLED, {"threshold": 0.75, "beta": 2.0}),
        case(f"smooth: {DIGITS}: class weights", LABELLED, {}, shared={"class_weights": WEIGHTS}),
        case(EXTREME, FAR_LABELLED, {}),
        case(f"{DIGITS}: an ignored row of -inf", ignored, {"ignore_index": -1}),
    ]  # fmt: skip


def label_smoothing() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, class_weights: Any = None) -> Any:
        weight = _weight(params, logits, labels, class_weights)
        if not weight:
            return mpf(0)
        log_p, share = log_softmax(logits), mpf(params.get("smoothing", 0.1))
        own = params.get("spread", "all") == "all"
        over = [k for k, x in enumerate(log_p) if x != -mp.inf and (own or k != labels)]
        kept = 1 - share if over else mpf(1)
        spread = sum((log_p[k] for k in over), mpf(0)) * share / max(len(over), 1)
        return -weight * (kept * log_p[labels] + spread)

    def theirs(logits: Any, labels: Any) -> Any:
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.25)

    def smoothed(logits: Any, labels: Any) -> Any:
        target = optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.5)
        return optax.safe_softmax_cross_entropy(logits, target)

    def case(source: str, inputs: Any, params: Any, **more: Any) -> dict[str, Any]:
        return row_case(source, f, inputs, params, wrt=Z, weight=_weight, **more)

    others = {"spread": "others", "smoothing": 0.25}
    lone = {"logits": [[1.0, -INF], [0.5, 0.25]], "labels": [0, 1]}
    ignored = {"logits": [[1.0, 2.0, 0.0], [-INF] * 3], "labels": [1, -1]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy", theirs, LABELLED, {"smoothing": 0.25},
            wrt=Z, denominator=4.0,
        ),
        jax_case(
            "smooth: optax 0.2.8 smooth_labels", smoothed, LABELLED, {"smoothing": 0.5}, wrt=Z,
            denominator=4.0,
        ),
        case(f"smooth: {PAPER}: over the others", LABELLED, others),
        case(f"smooth: {DIGITS}: class weights", LABELLED, {}, shared={"class_weights": WEIGHTS}),
        case(EXTREME, FAR_LABELLED, others),
        case(f"{DIGITS}: no other class is possible", lone, others),
        case(f"{DIGITS}: an ignored row of -inf", ignored, {"ignore_index": -1}),
    ]  # fmt: skip


CASES = {
    "jensen_shannon": jensen_shannon,
    "generalized_jensen_shannon": generalized_jensen_shannon,
    "total_variation": total_variation,
    "hellinger": hellinger,
    "wasserstein_1": wasserstein_1,
    "renyi_divergence": renyi_divergence,
    "entropy": entropy,
    "confidence_penalty": confidence_penalty,
    "label_smoothing": label_smoothing,
}
