"""ranknet, pairwise_hinge, listnet, ranking_softmax, list_mle, p_list_mle."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import rax
import torch
from mpmath import mp, mpf
from torch import Tensor, nn

from references._foreign import class_alone, float64_by_default
from references._jax import jax_case
from references._mp import row_case, softplus
from references._torch import randoms

DIGITS = "mpmath 1.3.0, 50 digits"


SCORES = ("scores",)


LISTS = {
    "scores": randoms(750, 3, 4),
    "relevance": [[3.0, 0.0, 1.0, 2.0], [0.0, 1.0, 4.0, 2.0], [1.0, 0.0, 3.0, 2.0]],
}


TIED = {"scores": randoms(751, 3, 4), "relevance": [[1.0, 0.0, 1.0, 0.0], [0.0] * 4, [2.0, 0.0, 0.0, 1.0]]}  # fmt: skip  # noqa: E501


MASKED = LISTS | {"mask": [[1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]]}


FAR = {
    "scores": [[1e4, -1e4, 0.0], [-120.0, 120.0, 50.0], [1e4, 1e4, 1e4]],
    "relevance": [[0.0, 2.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]],
}


def _relu(x: Any) -> Any:
    return max(x, mpf(0))


def _rax(function: Any, **settings: Any) -> Any:
    """Sums over pairs or documents, list by list."""

    def rows(scores: Any, relevance: Any, mask: Any = None) -> Any:
        where = jnp.ones(scores.shape, bool) if mask is None else mask == 1

        def one(i: int) -> Any:
            got = function(scores[i], relevance[i], where=where[i], reduce_fn=None, **settings)
            return got.sum()

        return jnp.stack([one(i) for i in range(len(scores))])

    return rows


def _pairs(relevance: Any, mask: Any = None) -> list[tuple[int, int]]:
    there = range(len(relevance))
    return [
        (i, j)
        for i in there
        for j in there
        if relevance[i] > relevance[j] and (mask is None or (mask[i] and mask[j]))
    ]


def _count_of_pairs(inputs: dict[str, Any]) -> float:
    masks = inputs.get("mask", [None] * len(inputs["relevance"]))
    return float(
        sum(len(_pairs(y, mask)) for y, mask in zip(inputs["relevance"], masks, strict=True))
    )


def _one(params: Any, **given: Any) -> Any:
    return mpf(1)


def ranknet() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        pairs = _pairs(relevance)
        return sum((softplus(scores[j] - scores[i]) for i, j in pairs), mpf(0))

    by_pairs = {"denominator": "pairs"}
    theirs, name = _rax(rax.pairwise_logistic_loss), "rax 0.4.0 pairwise_logistic_loss"
    steeper = _rax(lambda s, y, **given: rax.pairwise_logistic_loss(2.0 * s, y, **given))
    return [
        jax_case(f"smooth: {name}", theirs, LISTS, wrt=SCORES, denominator=3.0),
        jax_case(f"{name}, ties", theirs, TIED, by_pairs, wrt=SCORES, denominator=9.0),
        jax_case(f"{name}, masked", theirs, MASKED, wrt=SCORES, denominator=2.0),
        jax_case(
            f"smooth: {name}, steeper", steeper, LISTS, {"sigma": 2.0}, wrt=SCORES, denominator=3.0
        ),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
    ]


def pairwise_hinge() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        margin = mpf(params.get("margin", 1))
        pairs = _pairs(relevance)
        return sum((_relu(margin - scores[i] + scores[j]) for i, j in pairs), mpf(0))

    name, by_pairs = "rax 0.4.0 pairwise_hinge_loss", {"denominator": "pairs"}
    theirs = _rax(rax.pairwise_hinge_loss)
    return [
        jax_case(f"smooth: {name}", theirs, LISTS, wrt=SCORES, denominator=3.0),
        jax_case(
            f"{name}, masked",
            theirs,
            MASKED,
            by_pairs,
            wrt=SCORES,
            denominator=_count_of_pairs(MASKED),
        ),
        row_case(f"{DIGITS}: to 1e4", f, FAR, {"margin": 0.5}, wrt=SCORES, weight=_one),
        {
            "from": "by hand: subgradient 0 at the margin, by ruling",
            "inputs": {"scores": [[2.0, 1.0]], "relevance": [[1.0, 0.0]]},
            "params": {},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"scores": [[0.0, 0.0]]},
        },
    ]


def _soft(x: Any) -> Any:
    top = max(x)
    return [mp.exp(each - top) / sum(mp.exp(other - top) for other in x) for each in x]


def _log_soft(x: Any) -> Any:
    top = max(x)
    total = mp.log(sum(mp.exp(other - top) for other in x))
    return [each - top - total for each in x]


def listnet() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        target = _soft([mpf(y) / mpf(params.get("relevance_temperature", 1)) for y in relevance])
        return -sum(t * x for t, x in zip(target, _log_soft(scores), strict=True))

    def label(y: Any, where: Any) -> Any:
        return jax.nn.softmax(jnp.where(where, y, -jnp.inf))

    def theirs(scores: Any, relevance: Any, mask: Any = None) -> Any:
        def loss(s: Any, y: Any, where: Any, reduce_fn: Any) -> Any:
            # Their label function sees padding already set to 0: it is given the original.
            target = label(y, where) if bool(where.any()) else jnp.zeros_like(y)
            target = jnp.where(where, target, 0.0)
            return rax.softmax_loss(s, target, where=where, reduce_fn=reduce_fn)

        return _rax(loss)(scores, relevance, mask)

    name = "rax 0.4.0 softmax_loss of softmax relevance"
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}
    return [
        jax_case(f"smooth: {name}", theirs, LISTS, wrt=SCORES, denominator=3.0),
        jax_case(f"{name}, masked", theirs, two, wrt=SCORES, denominator=2.0),
        row_case(
            f"smooth: {DIGITS}: temperature",
            f,
            LISTS,
            {"relevance_temperature": 0.5},
            wrt=SCORES,
            weight=_one,
        ),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
        {
            "from": "by hand: a list without documents is nothing",
            "inputs": {"scores": [[1.0, 2.0]], "relevance": [[1.0, 0.0]], "mask": [[0, 0]]},
            "params": {},
            "values": [0.0],
            "denominator": 0.0,
            "gradients": {"scores": [[0.0, 0.0]]},
        },
    ]


def ranking_softmax() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        pairs = zip(relevance, _log_soft(scores), strict=True)
        return -sum((mpf(y) * x for y, x in pairs if y), mpf(0))

    def normalized(s: Any, y: Any, **given: Any) -> Any:
        return rax.softmax_loss(s, y, label_fn=rax.utils.normalize_probabilities, **given)

    name, share = "rax 0.4.0 softmax_loss", {"normalize_relevance": True}
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}
    return [
        jax_case(f"smooth: {name}", _rax(rax.softmax_loss), LISTS, wrt=SCORES, denominator=3.0),
        jax_case(f"{name}, masked", _rax(rax.softmax_loss), two, wrt=SCORES, denominator=2.0),
        jax_case(
            f"smooth: {name}, normalised",
            _rax(normalized),
            LISTS,
            share,
            wrt=SCORES,
            denominator=3.0,
        ),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
        {
            "from": "by hand: nothing relevant, no documents",
            "inputs": {"scores": [[1.0, 2.0]] * 2, "relevance": [[0.0, 0.0], [1.0, 1.0]],
                       "mask": [[1, 1], [0, 0]]},
            "params": {"normalize_relevance": True},
            "values": [0.0, 0.0],
            "denominator": 1.0,
            "gradients": {"scores": [[0.0, 0.0]] * 2},
        },
    ]  # fmt: skip


def _order(relevance: Any) -> list[int]:
    return sorted(range(len(relevance)), key=lambda i: (-relevance[i], i))


def _places(scores: Any, relevance: Any) -> list[Any]:
    ordered = [scores[i] for i in _order(relevance)]
    return [_log_soft(ordered[i:])[0] for i in range(len(ordered))]


def list_mle() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        return -sum(_places(scores, relevance))

    name = "rax 0.4.0 listmle_loss"
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}
    return [
        jax_case(f"smooth: {name}", _rax(rax.listmle_loss), LISTS, wrt=SCORES, denominator=3.0),
        jax_case(f"{name}, masked", _rax(rax.listmle_loss), two, wrt=SCORES, denominator=2.0),
        row_case(f"{DIGITS}: ties in the order of the input", f, TIED, wrt=SCORES, weight=_one),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
    ]


class _Scorer(nn.Module):
    """A model whose documents are their own scores."""

    num_labels = 1
    device = "cpu"

    def preprocess(self, pairs: Any, prompt: Any = None, task: Any = None) -> Tensor:
        return torch.stack([document for _, document in pairs])

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"scores": tokens}


def _sentence_transformers(file: str, name: str, others: tuple[str, ...] = ()) -> Any:
    """A cross-encoder loss, list by list, computed in float64 where they say float()."""
    path = f"cross_encoder/losses/{file}.py"
    given: dict[str, Any] = {
        "torch": torch, "nn": nn, "Tensor": Tensor, "math": math, "Literal": Any,
        "CrossEncoder": _Scorer, "fullname": str, "batch_to_device": lambda x, device: x,
    }  # fmt: skip
    for each in (*others, name):
        given[each] = class_alone("sentence_transformers", path, each, given)

    def build(scale: Any = None, **settings: Any) -> Any:
        loss = given[name](_Scorer(), **settings)

        def rows(scores: Tensor, relevance: Tensor, mask: Tensor | None = None) -> Tensor:
            there = torch.ones_like(relevance) if mask is None else mask
            values = []
            for s, y, m in zip(scores, relevance, there, strict=True):
                kept = (list(s[m == 1]), y[m == 1])
                with float64_by_default():
                    value = loss([["query"], [kept[0]]], [kept[1]])
                values.append(value * (scale(kept[1].tolist()) if scale else 1.0))
            return torch.stack(values)

        return rows

    return build, given


def p_list_mle() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any) -> Any:
        n = len(scores)
        weights = [mpf(2) ** (n - i) - 1 for i in range(1, n + 1)]
        total = sum(weights) if params.get("normalize_weights", True) else weights[0]
        found = zip(weights, _places(scores, relevance), strict=True)
        return -sum(w * x for w, x in found) / total

    build, given = _sentence_transformers("plist_mle", "PListMLELoss", ("PListMLELambdaWeight",))
    theirs = build(lambda_weight=given["PListMLELambdaWeight"](), respect_input_order=False)
    raw = {"normalize_weights": False}
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}
    name = "sentence-transformers 6.2.0 PListMLELoss"
    # Theirs adds 1e-10 within a logarithm and to the sum of the weights: 50 digits stand in.
    for case in (LISTS, two):
        got = theirs(**{k: torch.tensor(x, dtype=torch.float64) for k, x in case.items()})
        for i, value in enumerate(got.tolist()):
            kept = [j for j in range(4) if "mask" not in case or case["mask"][i][j]]
            s, y = ([mpf(case[k][i][j]) for j in kept] for k in ("scores", "relevance"))
            assert abs(f({}, s, y) - value) < 1e-6
    near = row_case(
        f"smooth: {DIGITS}; checked to 1e-6 with {name}", f, LISTS, wrt=SCORES, weight=_one
    )
    cut = row_case(
        "",
        f,
        {"scores": [[0.5, -1.0, 2.0]], "relevance": [[1.0, 2.0, 0.0]]},
        wrt=SCORES,
        weight=_one,
    )
    return [
        near,
        row_case(f"smooth: {DIGITS}: not normalised", f, LISTS, raw, wrt=SCORES, weight=_one),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
        {
            "from": f"{DIGITS}: padding, a list of one document",
            "inputs": {"scores": [[0.5, 9.0, -1.0, 2.0], [1.0, 2.0, 3.0, 4.0]],
                       "relevance": [[1.0, 5.0, 2.0, 0.0], [1.0, 2.0, 3.0, 4.0]],
                       "mask": [[1, 0, 1, 1], [0, 1, 0, 0]]},
            "params": {},
            "values": [*cut["values"], 0.0],
            "denominator": 2.0,
            "gradients": {"scores": [
                [cut["gradients"]["scores"][0][0], 0.0, *cut["gradients"]["scores"][0][1:]],
                [0.0] * 4,
            ]},
        },
    ]  # fmt: skip


CASES = {
    "ranknet": ranknet,
    "pairwise_hinge": pairwise_hinge,
    "listnet": listnet,
    "ranking_softmax": ranking_softmax,
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
}
