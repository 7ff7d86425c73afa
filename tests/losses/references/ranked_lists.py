"""lambda_loss, approx_ndcg, smooth_ap, bpr, warp."""

from typing import Any

import rax
import torch
from mpmath import mp, mpf
from torch import Tensor

from references._jax import jax_case
from references._mp import row_case, softplus
from references._torch import randoms, torch_case
from references.ranking import (
    DIGITS,
    FAR,
    LISTS,
    MASKED,
    SCORES,
    _count_of_pairs,
    _one,
    _pairs,
    _rax,
    _sentence_transformers,
)


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
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "smooth_ap": smooth_ap,
    "bpr": bpr,
    "warp": warp,
}
