"""ranknet, pairwise_hinge, listnet, ranking_softmax, list_mle, p_list_mle, lambda_loss,
approx_ndcg, smooth_ap, bpr, warp."""

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
from references._torch import randoms, torch_case

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


def lambda_loss() -> list[dict[str, Any]]:
    schemes = {
        "lambda_rank": "LambdaRankScheme", "ndcg_loss1": "NDCGLoss1Scheme",
        "ndcg_loss2": "NDCGLoss2Scheme", "ndcg_loss2pp": "NDCGLoss2PPScheme",
    }  # fmt: skip
    bases = ("BaseWeightingScheme", "NoWeightingScheme", *schemes.values())
    order = ("BaseWeightingScheme", "NoWeightingScheme", "NDCGLoss1Scheme", "NDCGLoss2Scheme",
             "LambdaRankScheme", "NDCGLoss2PPScheme")  # fmt: skip
    assert set(order) == set(bases)
    build, given = _sentence_transformers("lambda_loss", "LambdaLoss", order)

    def theirs(weighting: str, cutoff: int | None = None, **settings: Any) -> Any:
        def scale(y: list[float]) -> float:
            count = len(y) ** 2 if weighting == "ndcg_loss1" else len(_pairs(y))
            return max(1, count)

        rows = build(
            scale,
            weighting_scheme=given[schemes[weighting]](),
            reduction_log="natural",
            eps=1e-300,
            k=cutoff,
            **settings,
        )
        return rows

    name = "sentence-transformers 6.2.0 LambdaLoss"
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}
    cases = [
        torch_case(
            f"{'smooth: ' if each == 'ndcg_loss2pp' else ''}{name}, {each}",
            theirs(each),
            LISTS,
            {"weighting": each},
            wrt=SCORES,
            denominator=3.0,
        )
        for each in schemes
    ]

    def f(params: Any, scores: Any, relevance: Any) -> Any:
        """lambda_rank at a cutoff."""
        places = sorted(range(len(scores)), key=lambda i: (-steady(scores)[i], i))
        place = {i: k + 1 for k, i in enumerate(places)}
        cutoff = params.get("cutoff") or len(scores)
        gain = [mpf(2) ** y - 1 for y in relevance]
        best = sum(g / mp.log(2 + k, 2) for k, g in enumerate(sorted(gain)[::-1][:cutoff]))
        total = mpf(0)
        for i, j in _pairs(relevance):
            if min(place[i], place[j]) <= cutoff:
                apart = abs(1 / mp.log(1 + place[i], 2) - 1 / mp.log(1 + place[j], 2))
                total += apart * abs(gain[i] - gain[j]) / best * softplus(scores[j] - scores[i])
        return total

    def steady(scores: Any) -> Any:
        return [mp.nint(x * 64) for x in scores]  # differentiation must not swap equal ones

    rank = {"weighting": "lambda_rank"}
    return [
        *cases,
        torch_case(
            f"smooth: {name}, sigma 2, masked",
            theirs("ndcg_loss2pp", sigma=2.0),
            two,
            {"sigma": 2.0, "denominator": "pairs"},
            wrt=SCORES,
            denominator=_count_of_pairs(two),
        ),
        row_case(f"{DIGITS}: cutoff", f, LISTS, rank | {"cutoff": 2}, wrt=SCORES, weight=_one),
        row_case(f"{DIGITS}: scores to 1e4, equal scores", f, FAR, rank, wrt=SCORES, weight=_one),
        {
            "from": "by hand: nothing relevant",
            "inputs": {"scores": [[1.0, 2.0]], "relevance": [[0.0, 0.0]]},
            "params": {},
            "values": [0.0],
            "denominator": 1.0,
            "gradients": {"scores": [[0.0, 0.0]]},
        },
    ]


def approx_ndcg() -> list[dict[str, Any]]:
    def theirs(temperature: float = 1.0) -> Any:
        def metric(scores: Any, relevance: Any, **given: Any) -> Any:
            ranks = rax.utils.approx_ranks
            return rax.ndcg_metric(scores / temperature, relevance, rank_fn=ranks, **given)

        def loss(scores: Any, relevance: Any, mask: Any = None) -> Any:
            return 1.0 - _rax(metric)(scores, relevance, mask)

        return loss

    name = "rax 0.4.0 ndcg_metric of approx_ranks"
    two = {k: (x[:2] if isinstance(x, list) else x) for k, x in MASKED.items()}

    def f(params: Any, scores: Any, relevance: Any) -> Any:
        n, gain = range(len(scores)), [mpf(2) ** y - 1 for y in relevance]
        best = sum(g / mp.log(2 + k, 2) for k, g in enumerate(sorted(gain)[::-1]))
        rank = [1 + sum(1 / (1 + mp.exp(scores[i] - scores[j])) for j in n if j != i) for i in n]
        return 1 - sum(gain[i] / mp.log(1 + rank[i], 2) for i in n) / best

    half = {"temperature": 0.5}
    return [
        jax_case(f"smooth: {name}", theirs(), LISTS, wrt=SCORES, denominator=3.0),
        jax_case(f"smooth: {name}", theirs(0.5), LISTS, half, wrt=SCORES, denominator=3.0),
        jax_case(f"{name}, masked", theirs(), two, wrt=SCORES, denominator=2.0),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR, wrt=SCORES, weight=_one),
        {
            "from": "by hand: nothing relevant does not count",
            "inputs": {"scores": [[1.0, 2.0]], "relevance": [[0.0, 0.0]]},
            "params": {},
            "values": [0.0],
            "denominator": 0.0,
            "gradients": {"scores": [[0.0, 0.0]]},
        },
    ]


def smooth_ap() -> list[dict[str, Any]]:
    def f(params: Any, scores: Any, relevance: Any, mask: Any = None) -> Any:
        t = mpf(params.get("temperature", 0.01))
        n = [i for i in range(len(scores)) if mask is None or mask[i]]

        def rank(i: int, among: Any) -> Any:
            others = (j for j in among if j != i)
            return 1 + sum(1 / (1 + mp.exp((scores[i] - scores[j]) / t)) for j in others)

        right = [i for i in n if relevance[i]]
        return 1 - sum(rank(i, right) / rank(i, n) for i in right) / len(right)

    near = {"scores": randoms(752, 3, 4), "relevance": [[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]]}
    cosines = {"scores": [[0.5, 0.515625, 0.25, 0.5]], "relevance": [[1, 0, 1, 0]]}
    far = {"scores": [[1e4, -1e4, 0.0]], "relevance": [[0, 1, 1]]}
    one = {"temperature": 1.0}
    paper = f"paper only: {DIGITS}"
    return [
        row_case(f"smooth: {paper}", f, near, one, wrt=SCORES, weight=_one),
        row_case(f"smooth: {paper}: cosines", f, cosines, wrt=SCORES, weight=_one),
        row_case(
            f"{paper}: masked", f, near | {"mask": [[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1]]}, one,
            wrt=SCORES, weight=_one,
        ),
        row_case(f"{paper}: scores to 1e4", f, far, one, wrt=SCORES, weight=_one),
        {
            "from": "by hand: nothing relevant does not count",
            "inputs": {"scores": [[1.0, 2.0]], "relevance": [[0, 0]]},
            "params": {},
            "values": [0.0],
            "denominator": 0.0,
            "gradients": {"scores": [[0.0, 0.0]]},
        },
    ]  # fmt: skip


PICKED = {"positive_scores": randoms(753, 3), "negative_scores": randoms(754, 3, 4)}
FAR_PICKED = {"positive_scores": [1e4, -1e4], "negative_scores": [[-1e4, 1e4], [120.0, -1e4]]}


def bpr() -> list[dict[str, Any]]:
    def theirs(**given: Tensor) -> Tensor:
        difference = given["positive_scores"].unsqueeze(1) - given["negative_scores"]
        return torch.nn.functional.binary_cross_entropy_with_logits(
            difference, torch.ones_like(difference), reduction="none"
        ).mean(1)

    def f(params: Any, positive_scores: Any, negative_scores: Any) -> Any:
        count = len(negative_scores)
        return sum(softplus(x - positive_scores) for x in negative_scores) / count

    name = "torch 2.13.0 F.binary_cross_entropy_with_logits of differences"
    one = {"positive_scores": randoms(755, 3), "negative_scores": randoms(756, 3, 1)}
    return [
        torch_case(f"smooth: {name}", theirs, PICKED, wrt=tuple(PICKED)),
        torch_case(f"smooth: {name}, single negatives", theirs, one, wrt=tuple(PICKED)),
        row_case(f"{DIGITS}: scores to 1e4", f, FAR_PICKED, wrt=tuple(PICKED)),
    ]


def warp() -> list[dict[str, Any]]:
    def f(params: Any, positive_scores: Any, negative_scores: Any) -> Any:
        margin = mpf(params.get("margin", 1))
        inside = [x for x in (margin - positive_scores + x for x in negative_scores) if x > 0]
        rank = len(inside)
        if params.get("rank_weight") == "linear":
            return sum(inside, mpf(0))
        return sum((mpf(1) / k for k in range(1, rank + 1)), mpf(0)) * sum(inside) / max(1, rank)

    paper, wrt = f"paper only: {DIGITS}", tuple(PICKED)
    linear = {"rank_weight": "linear", "margin": 0.5}
    return [
        row_case(f"smooth: {paper}", f, PICKED, wrt=wrt),
        row_case(f"smooth: {paper}: linear", f, PICKED, linear, wrt=wrt),
        row_case(f"{paper}: scores to 1e4", f, FAR_PICKED, wrt=wrt),
        {
            "from": "by hand: at the margin a wrong item is not within it",
            "inputs": {"positive_scores": [2.0], "negative_scores": [[1.0, 1.5]]},
            "params": {},
            "values": [0.5],
            "gradients": {"positive_scores": [-1.0], "negative_scores": [[0.0, 1.0]]},
        },
    ]


CASES = {
    "ranknet": ranknet,
    "pairwise_hinge": pairwise_hinge,
    "listnet": listnet,
    "ranking_softmax": ranking_softmax,
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "smooth_ap": smooth_ap,
    "bpr": bpr,
    "warp": warp,
}
