"""cosine_distance, cosine_embedding, triplet_margin, batch_triplet, batch_all_triplet."""

from functools import partial
from typing import Any

import optax
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners
from torch import Tensor

from references._jax import jax_case
from references._pml import (
    PML,
    anchors_with_both,
    counts,
    nothing,
    pairs_with_negatives,
    per_anchor,
    plain_distance,
    unreduced,
)
from references._sbert import LOSSES as SBERT
from references._torch import randoms, torch_case

LEFT, RIGHT, OTHER = randoms(301, 4, 3), randoms(302, 4, 3), randoms(303, 4, 3)
SIX, LABELS = randoms(304, 6, 3), [0, 1, 0, 2, 1, 0]
MIXED = [5, -7, 5, 5, -7, 9]
FAR = [[1e4, -1e4, 0.0], [120.0, 50.0, -50.0], [0.0, 2.0**-20, 0.0]]
FAR_RIGHT = [[-1e4, 1e4, 1.0], [-120.0, 50.0, 50.0], [1.0, 0.0, 2.0**-10]]
ZERO2 = [[0.0, 0.0], [0.0, 0.0]]


def cosine_distance() -> list[dict[str, Any]]:
    def f(prediction: Any, target: Any) -> Any:
        return optax.cosine_distance(prediction, target)

    both = ("prediction", "target")
    return [
        jax_case(
            "smooth: optax 0.2.8 cosine_distance",
            f,
            {"prediction": LEFT, "target": RIGHT},
            wrt=both,
        ),
        jax_case(
            "optax 0.2.8 cosine_distance: lengths from 1e-6 to 1e4",
            f,
            {"prediction": FAR, "target": FAR_RIGHT},
            wrt=both,
        ),
        {
            "from": "by hand: the cosine of a zero vector is 0 and has no gradient, by ruling",
            "inputs": {"prediction": [[0.0, 0.0], [3.0, 0.0]], "target": [[0.0, 4.0], [0.0, 0.0]]},
            "params": {},
            "values": [1.0, 1.0],
            "gradients": {"prediction": ZERO2, "target": ZERO2},
        },
    ]


def cosine_embedding() -> list[dict[str, Any]]:
    def case(source: str, left: Any, right: Any, labels: Any, margin: float = 0.0) -> Any:
        f = partial(F.cosine_embedding_loss, margin=margin, reduction="none")
        return torch_case(
            f"{source}torch 2.13.0 F.cosine_embedding_loss",
            lambda left, right, labels: f(left, right, labels),
            {"left": left, "right": right, "labels": labels},
            {"margin": margin},
            wrt=("left", "right"),
        )

    return [
        case("smooth: ", LEFT, RIGHT, [1, -1, -1, 1]),
        case("smooth: ", LEFT, RIGHT, [-1, 1, -1, -1], -0.5),
        case("lengths to 1e4: ", FAR[:2], FAR_RIGHT[:2], [1, -1]),
        {
            "from": "by hand: exactly at the margin, and with a zero vector, value and gradient",
            "inputs": {
                "left": [[1.0, 0.0], [0.0, 0.0]],
                "right": [[0.0, 2.0], [1.0, 0.0]],
                "labels": [-1, 1],
            },
            "params": {},
            "values": [0.0, 1.0],
            "gradients": {"left": ZERO2, "right": ZERO2},
        },
    ]


def triplet_margin() -> list[dict[str, Any]]:
    three = {"anchors": LEFT, "positives": RIGHT, "negatives": OTHER}

    def norm(p: float) -> Any:
        return lambda x, y: torch.linalg.vector_norm(x - y, ord=p, dim=1)

    def case(source: str, distance: Any, inputs: Any = three, **params: Any) -> dict[str, Any]:
        def f(anchors: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
            if params.get("form") == "softplus":
                short = distance(anchors, positives) - distance(anchors, negatives)
                return F.softplus(short + params.get("margin", 1.0), threshold=1000)
            return F.triplet_margin_with_distance_loss(
                anchors,
                positives,
                negatives,
                distance_function=distance,
                margin=params.get("margin", 1.0),
                swap=params.get("swap", False),
                reduction="none",
            )

        name = "F.softplus" if "form" in params else "F.triplet_margin_with_distance_loss"
        return torch_case(f"{source}torch 2.13.0 {name}", f, inputs, params, wrt=tuple(inputs))

    far = {"anchors": FAR, "positives": FAR_RIGHT, "negatives": FAR_RIGHT[::-1]}
    return [
        case("smooth: ", norm(2)),
        case("smooth: ", norm(3), p=3.0, margin=2.0, swap=True),
        case("smooth: ", lambda x, y: 1 - F.cosine_similarity(x, y), metric="cosine"),
        case("smooth: ", lambda x, y: (x - y).square().sum(1), squared=True, margin=0.2),
        case("smooth: ", norm(2), form="softplus", margin=0.0),
        case("lengths to 1e4: ", norm(2), far),
        {
            "from": "by hand: no gradient at distance 0, and exactly at the margin",
            "inputs": {
                "anchors": [[1.0, 2.0], [0.0, 0.0]],
                "positives": [[1.0, 2.0], [0.0, 1.0]],
                "negatives": [[1.0, 2.0], [2.0, 0.0]],
            },
            "params": {"margin": 1.0},
            "values": [1.0, 0.0],
            "gradients": {"anchors": ZERO2, "positives": ZERO2, "negatives": ZERO2},
        },
    ]


def _mined(miner: Any, labels: list[int], **options: Any) -> Any:
    loss = per_anchor(unreduced(losses.TripletMarginLoss, margin=1.0, **options))

    def f(embeddings: Tensor, labels: Tensor) -> Tensor:
        return loss(embeddings, labels, miner(embeddings, labels))

    return f


def batch_triplet() -> list[dict[str, Any]]:
    plain = plain_distance()
    inputs = {"embeddings": SIX, "labels": LABELS}
    wrt = ("embeddings",)

    def case(source: str, f: Any, denominator: float, given: Any = inputs, **params: Any) -> Any:
        return torch_case(
            f"{source}{PML} TripletMarginLoss", f, given, params, wrt=wrt, denominator=denominator
        )

    hard = _mined(miners.BatchHardMiner(distance=plain), LABELS, distance=plain)
    easy = _mined(
        miners.BatchEasyHardMiner(pos_strategy="easy", neg_strategy="hard"),
        LABELS,
        smooth_loss=True,
    )
    first = case("smooth: ", hard, anchors_with_both(LABELS))
    _agrees_with_sentence_transformers(first, SBERT["BatchHardTripletLoss"])
    semi = torch_case(
        "smooth: torch 2.13.0, pair by pair; checked with sentence-transformers 6.2.0 "
        "BatchSemiHardTripletLoss",
        _semi_hard,
        inputs,
        {"positive": "all", "negative": "semi_hard"},
        wrt=wrt,
        denominator=pairs_with_negatives(LABELS),
    )
    _agrees_with_sentence_transformers(semi, SBERT["BatchSemiHardTripletLoss"])
    far = {"embeddings": [*FAR, *FAR_RIGHT], "labels": [1, 2, 1, 2, 1, 3]}
    return [
        first,
        semi,
        case(
            "smooth: BatchEasyHardMiner, ",
            easy,
            anchors_with_both(LABELS),
            positive="easy",
            form="softplus",
            normalize=True,
        ),
        case("lengths to 1e4: ", hard, anchors_with_both([1, 2, 1, 2, 1, 3]), far),
        nothing([1, 2, 3], SIX[:3], "no positives, so no triplets"),
        nothing([4, 4, 4], SIX[:3], "no negatives, so no triplets"),
        {
            "from": "by hand: equal embeddings: value m, no gradient, by ruling",
            "inputs": {"embeddings": [[1.0, 2.0]] * 3, "labels": [0, 0, 1]},
            "params": {},
            "values": [1.0, 1.0, 0.0],
            "denominator": 2.0,
            "gradients": {"embeddings": [[0.0, 0.0]] * 3},
        },
    ]


def _semi_hard(embeddings: Tensor, labels: Tensor) -> Tensor:
    """By loops over pairs, as the words of the paper have it."""
    rows = []
    for a, x in enumerate(embeddings):
        total = x.sum() * 0
        for p, y in enumerate(embeddings):
            if p == a or labels[p] != labels[a]:
                continue
            near = (x - y).norm()
            far = [(x - z).norm() for n, z in enumerate(embeddings) if labels[n] != labels[a]]
            beyond = [d for d in far if d > near]
            if far:
                total = total + F.relu(1 + near - (min(beyond) if beyond else max(far)))
        rows.append(total)
    return torch.stack(rows)


def _agrees_with_sentence_transformers(case: dict[str, Any], make: Any) -> None:
    """Its scalar, and its gradient, are those of the mean."""
    leaf = torch.tensor(case["inputs"]["embeddings"]).double().requires_grad_()

    def distance(x: Tensor) -> Tensor:
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")

    theirs = make(None, distance_metric=distance, margin=1.0)
    labels = torch.tensor(case["inputs"]["labels"])
    value = theirs.compute_loss_from_embeddings([leaf], labels)
    assert abs(value.item() - sum(case["values"]) / case["denominator"]) < 1e-6 or (
        # It averages over all rows, those without a positive included.
        abs(value.item() - sum(case["values"]) / len(labels)) < 1e-6
    ), (value, case["values"], case["denominator"])


def batch_all_triplet() -> list[dict[str, Any]]:
    plain = plain_distance()
    triplets = float(sum(p * n for p, n in zip(*counts(MIXED), strict=True)))

    def case(
        source: str, loss: Any, kind: str | None = None, given: Any = None, **params: Any
    ) -> Any:
        rows = per_anchor(loss)

        def f(embeddings: Tensor, labels: Tensor) -> Tensor:
            chosen = None
            if kind:
                miner = miners.TripletMarginMiner(
                    margin=params["margin"], type_of_triplets=kind, distance=loss.distance
                )
                chosen = miner(embeddings, labels)
            return rows(embeddings, labels, chosen)

        inputs = given or {"embeddings": SIX, "labels": MIXED}
        return torch_case(
            f"{source}{PML} TripletMarginLoss",
            f,
            inputs,
            params,
            wrt=("embeddings",),
            denominator=triplets,
        )

    def loss(**options: Any) -> Any:
        return unreduced(losses.TripletMarginLoss, **options)

    far = {"embeddings": [*FAR, *FAR_RIGHT], "labels": MIXED}
    return [
        case("smooth: ", loss(margin=1.0, distance=plain)),
        case("smooth: ", loss(margin=1.5), "hard", margin=1.5, select="hard", normalize=True),
        case(
            "smooth: ",
            loss(margin=2.0, distance=plain),
            "semihard",
            margin=2.0,
            select="semi_hard",
        ),
        case(
            "smooth: ",
            loss(margin=0.1, smooth_loss=True, distance=plain_distance(2)),
            margin=0.1,
            form="softplus",
            squared=True,
        ),
        case("lengths to 1e4: ", loss(margin=1.0, distance=plain), given=far),
        nothing([1, 2, 3], SIX[:3], "no positives, so no triplets"),
    ]


CASES = {
    "cosine_distance": cosine_distance,
    "cosine_embedding": cosine_embedding,
    "triplet_margin": triplet_margin,
    "batch_triplet": batch_triplet,
    "batch_all_triplet": batch_all_triplet,
}
