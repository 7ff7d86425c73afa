"""multi_similarity, circle, sup_con, nt_xent: pairs of a batch, by labels or views."""

from typing import Any

import jax.numpy as jnp
import optax
import torch
from mpmath import mp, mpf
from pytorch_metric_learning import losses, miners
from torch import Tensor

from references._jax import jax_case
from references._mp import batch_case, log_softmax, softplus
from references._pml import (
    PML,
    anchors_with_both,
    counts,
    nothing,
    per_anchor,
    unreduced,
)
from references._torch import randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
SIX, LABELS = randoms(311, 6, 3), [0, 1, 0, 2, 1, 0]
LEFT, RIGHT = randoms(312, 4, 3), randoms(313, 4, 3)
FAR = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-40, 2.0**-41, -(2.0**-40)], [1e4, 1.0, 2.0]]
ZERO = [[0.0, 0.0], [3.0, 0.0], [2.0, 0.0], [0.0, 5.0]]


def labelled(
    source: str,
    loss: Any,
    params: dict[str, Any] | None = None,
    *,
    embeddings: Any = SIX,
    labels: list[int] = LABELS,
    denominator: float | None = None,
    miner: Any = None,
) -> dict[str, Any]:
    """A case of a loss of embeddings and labels."""

    def f(embeddings: Tensor, labels: Tensor) -> Tensor:
        return per_anchor(loss)(embeddings, labels, miner(embeddings, labels) if miner else None)

    return torch_case(
        f"{source}{PML} {type(loss).__name__}",
        f,
        {"embeddings": embeddings, "labels": labels},
        params,
        wrt=("embeddings",),
        denominator=denominator,
    )


def unit_rows(x: Any) -> list[list[Any]]:
    """Directions; a zero vector stays."""
    rows = []
    for row in x:
        length = mp.sqrt(sum(each * each for each in row))
        rows.append([each / length for each in row] if length else row)
    return rows


def gram(x: Any, y: Any) -> list[list[Any]]:
    return [[sum(a * b for a, b in zip(p, q, strict=True)) for q in y] for p in x]


def lse(x: list[Any]) -> Any:
    top = max(x)
    return top + mp.log(sum(mp.exp(each - top) for each in x))


def multi_similarity() -> list[dict[str, Any]]:
    def loss(**options: Any) -> Any:
        return unreduced(losses.MultiSimilarityLoss, **options)

    return [
        labelled("smooth: ", loss()),
        labelled(
            "smooth: with its miner, ",
            loss(alpha=3, beta=20, base=0.2),
            {"alpha": 3.0, "beta": 20.0, "base": 0.2, "epsilon": 0.1},
            miner=miners.MultiSimilarityMiner(epsilon=0.1),
        ),
        labelled("lengths to 1e4: ", loss(), embeddings=FAR, labels=[1, 1, 2, 3]),
        labelled("no positives: ", loss(), embeddings=SIX[:3], labels=[1, 2, 3]),
        labelled("no negatives: ", loss(), embeddings=SIX[:3], labels=[7, 7, 7]),
    ]


def circle() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any, labels: Any) -> list[Any]:
        m, gamma = mpf(params["margin"]), mpf(params["gamma"])
        x = unit_rows(embeddings)
        values = []
        for a, row in enumerate(gram(x, x)):
            n = [
                gamma * max(s + m, mpf(0)) * (s - m)
                for b, s in enumerate(row)
                if labels[b] != labels[a]
            ]
            p = [
                -gamma * max(1 + m - s, mpf(0)) * (s - 1 + m)
                for b, s in enumerate(row)
                if labels[b] == labels[a] and b != a
            ]
            values.append(softplus(lse(n) + lse(p)) if n and p else mpf(0))
        return values

    def loss(**options: Any) -> Any:
        return unreduced(losses.CircleLoss, **options)

    both = anchors_with_both(LABELS)
    full = {"margin": 0.25, "gamma": 4.0, "weight_gradient": "full"}
    return [
        labelled("", loss(m=0.25, gamma=8), {"margin": 0.25, "gamma": 8.0}, denominator=both),
        batch_case(
            f"smooth: {DIGITS}",
            f,
            {"embeddings": SIX, "labels": LABELS},
            full,
            wrt=("embeddings",),
            denominator=both,
        ),
        labelled("", loss(), denominator=both),
        labelled("lengths to 1e4: ", loss(), embeddings=FAR, labels=[1, 1, 2, 3], denominator=2.0),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def sup_con() -> list[dict[str, Any]]:
    def loss(temperature: float = 0.1) -> Any:
        return unreduced(losses.SupConLoss, temperature=temperature)

    def f(params: Any, embeddings: Any, labels: Any) -> list[Any]:
        x = unit_rows(embeddings) if params.get("normalize", True) else embeddings
        values = []
        for a, row in enumerate(gram(x, x)):
            others = [b for b in range(len(row)) if b != a]
            log_p = log_softmax([row[b] / mpf(params.get("temperature", 0.1)) for b in others])
            chosen = [z for b, z in zip(others, log_p, strict=True) if labels[b] == labels[a]]
            values.append(-sum(chosen) / len(chosen) if chosen else mpf(0))
        return values

    positives = float(sum(p > 0 for p in counts(LABELS)[0]))
    given = {"embeddings": SIX, "labels": LABELS}
    wrt = ("embeddings",)
    return [
        labelled("smooth: ", loss(), denominator=positives),
        labelled("smooth: ", loss(0.5), {"temperature": 0.5}, denominator=positives),
        batch_case(
            f"smooth: {DIGITS}: not normalised",
            f,
            given,
            {"temperature": 2.0, "normalize": False},
            wrt=wrt,
            denominator=positives,
        ),
        labelled("lengths to 1e4: ", loss(), embeddings=FAR, labels=[1, 1, 1, 3], denominator=3.0),
        batch_case(
            f"{DIGITS}: similarities to 1e8",
            f,
            {"embeddings": [[1e4, 0.0], [0.0, 1e4], [0.0, -1e4]], "labels": [1, 1, 2]},
            {"temperature": 1.0, "normalize": False},
            wrt=wrt,
            denominator=2.0,
        ),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def nt_xent() -> list[dict[str, Any]]:
    def theirs(temperature: float) -> Any:
        def f(left: Any, right: Any) -> Any:
            rows = len(left)
            both = jnp.concatenate((left, right))
            labels = jnp.concatenate((jnp.arange(rows), jnp.arange(rows)))
            return optax.ntxent(both, labels, temperature)[None]

        return f

    def rows(loss: Any) -> Any:
        def f(left: Tensor, right: Tensor) -> Tensor:
            own = torch.arange(len(left))
            each = per_anchor(loss)(torch.cat((left, right)), torch.cat((own, own)))
            return each.view(2, -1).mean(0)

        return f

    def f(params: Any, left: Any, right: Any) -> list[Any]:
        both = unit_rows([*left, *right]) if params.get("normalize", True) else [*left, *right]
        n = len(left)
        values = []
        for a, row in enumerate(gram(both, both)):
            others = [b for b in range(2 * n) if b != a]
            log_p = log_softmax([row[b] / mpf(params.get("temperature", 0.5)) for b in others])
            values.append(-log_p[others.index((a + n) % (2 * n))])
        return [(x + y) / 2 for x, y in zip(values[:n], values[n:], strict=True)]

    def case(temperature: float) -> dict[str, Any]:
        found = torch_case(
            f"smooth: {PML} NTXentLoss; sum checked with optax 0.2.8 ntxent",
            rows(unreduced(losses.NTXentLoss, temperature=temperature)),
            views,
            {"temperature": temperature},
            wrt=("left", "right"),
        )
        total = jax_case("", theirs(temperature), views, wrt=("left",))["values"][0]
        assert abs(total - sum(found["values"]) / len(LEFT)) < 1e-5, (total, found["values"])
        return found

    views = {"left": LEFT, "right": RIGHT}
    far = {"left": FAR, "right": FAR[::-1]}
    wrt = ("left", "right")
    return [
        case(0.5),
        case(0.07),
        batch_case(
            f"smooth: {DIGITS}: not normalised",
            f,
            {"left": LEFT[:3], "right": RIGHT[:3]},
            {"normalize": False, "temperature": 2.0},
            wrt=wrt,
        ),
        batch_case(f"{DIGITS}: lengths from 1e-12 to 1e4", f, far, wrt=wrt),
        {
            "from": "by hand: a row alone has nothing to be told from",
            "inputs": {"left": [[1.0, 2.0]], "right": [[-1.0, 0.5]]},
            "params": {},
            "values": [0.0],
            "gradients": {"left": [[0.0, 0.0]], "right": [[0.0, 0.0]]},
        },
    ]


CASES = {
    "multi_similarity": multi_similarity,
    "circle": circle,
    "sup_con": sup_con,
    "nt_xent": nt_xent,
}
