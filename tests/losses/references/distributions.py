"""Divergences of the family distribution."""

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
from references._torch import randoms, torch_case
from references.divergences import FAR_P, FAR_Q

DIGITS = "mpmath 1.3.0, 50 digits"
PAPER = f"paper only: {DIGITS}"
BOTH = ("p_logits", "q_logits")
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


CASES = {
    "jensen_shannon": jensen_shannon,
    "generalized_jensen_shannon": generalized_jensen_shannon,
    "total_variation": total_variation,
    "hellinger": hellinger,
    "wasserstein_1": wasserstein_1,
    "renyi_divergence": renyi_divergence,
}
