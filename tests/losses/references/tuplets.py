"""Losses of labelled batches beyond triplets: structured, angular, by lists and histograms."""

from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.utils import loss_and_miner_utils
from torch import Tensor

from references._mp import batch_case, log_softmax
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
from references._torch import randoms, torch_case
from references.labelled import (
    DIGITS,
    FAR,
    LABELS,
    LEFT,
    RIGHT,
    SIX,
    gram,
    labelled,
    lse,
    unit_rows,
)

GIVEN = {"embeddings": SIX, "labels": LABELS}
WRT = ("embeddings",)
PAIRS = pairs_with_negatives(LABELS)
NEAR = randoms(331, 5, 2, low=-1.0, high=1.0)
NEAR_LABELS = [3, 1, 3, 1, 3]
FAR_LABELS = [1, 1, 2, 3]


def _apart(x: Any) -> list[list[Any]]:
    return [[mp.sqrt(sum((a - b) ** 2 for a, b in zip(p, q, strict=True))) for q in x] for p in x]


def lifted_structure() -> list[dict[str, Any]]:
    def case(source: str, distance: Any, **more: Any) -> dict[str, Any]:
        loss = unreduced(losses.LiftedStructureLoss, **distance)
        return labelled(source, loss, **{"denominator": PAIRS, **more})

    plain = {"distance": plain_distance()}
    near = {"embeddings": NEAR, "labels": NEAR_LABELS, "denominator": 8.0}
    far = {"embeddings": FAR, "labels": FAR_LABELS, "denominator": 2.0}
    return [
        case("smooth: ", plain),
        case("smooth: ", {}, params={"normalize": True}, **near),
        case("lengths to 1e4: ", plain, **far),
        nothing([1, 2, 3], SIX[:3], "no positives"),
        nothing([4, 4, 4], SIX[:3], "no negatives"),
    ]


def generalized_lifted_structure() -> list[dict[str, Any]]:
    def case(source: str, distance: Any, **more: Any) -> dict[str, Any]:
        loss = unreduced(losses.GeneralizedLiftedStructureLoss, **distance)
        return labelled(source, loss, **more)

    def f(params: Any, embeddings: Any, labels: Any) -> list[Any]:
        values = []
        for a, row in enumerate(_apart(embeddings)):
            far = [d for b, d in enumerate(row) if labels[b] == labels[a] and b != a]
            near = [1 - d for b, d in enumerate(row) if labels[b] != labels[a]]
            values.append(max(mpf(0), lse(far) + lse(near)) if far and near else mpf(0))
        return values

    return [
        # Theirs counts an anchor without positives as one of log-sum-exp 0, so none is in it.
        case(
            "smooth: ",
            {"distance": plain_distance()},
            embeddings=NEAR,
            labels=NEAR_LABELS,
            denominator=5.0,
        ),
        case(
            "smooth: ",
            {},
            params={"normalize": True},
            embeddings=NEAR,
            labels=NEAR_LABELS,
            denominator=5.0,
        ),
        batch_case(
            f"{DIGITS}: a row without positives",
            f,
            GIVEN,
            wrt=WRT,
            denominator=anchors_with_both(LABELS),
        ),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def n_pairs() -> list[dict[str, Any]]:
    def theirs(anchors: Tensor, positives: Tensor) -> Tensor:
        own = torch.arange(len(anchors))
        loss = unreduced(
            losses.NPairsLoss, distance=DotProductSimilarity(normalize_embeddings=False)
        )
        both = torch.stack((anchors, positives), 1).flatten(0, 1)
        return loss(both, own.repeat_interleave(2))["loss"]["losses"]

    def f(params: Any, anchors: Any, positives: Any) -> list[Any]:
        l2 = mpf(params.get("l2", 0.0))
        lengths = [sum(v * v for v in (*x, *y)) for x, y in zip(anchors, positives, strict=True)]
        return [
            l2 * length - log_softmax(row)[i]
            for i, (row, length) in enumerate(zip(gram(anchors, positives), lengths, strict=True))
        ]

    wrt = ("anchors", "positives")
    given = {"anchors": LEFT, "positives": RIGHT}
    far = {"anchors": [[1e4, 0.0], [0.0, 1e4]], "positives": [[0.0, 1e4], [-1e4, 0.0]]}
    # In theirs, of each class the first of its two embeddings is the anchor.
    return [
        torch_case(f"smooth: {PML} NPairsLoss", theirs, given, wrt=wrt),
        batch_case(f"smooth: {DIGITS}", f, given, {"l2": 0.25}, wrt=wrt),
        batch_case(f"{DIGITS}: products to 1e8", f, far, wrt=wrt),
    ]


def angular() -> list[dict[str, Any]]:
    def case(
        source: str,
        angle: float = 40.0,
        embeddings: Any = SIX,
        labels: list[int] = LABELS,
        denominator: float = PAIRS,
    ) -> dict[str, Any]:
        loss = per_anchor(unreduced(losses.AngularLoss, alpha=angle))
        # Theirs does not normalise the negatives.
        return torch_case(
            f"{source}{PML} AngularLoss of normalised embeddings",
            lambda embeddings, labels: loss(F.normalize(embeddings), labels),
            {"embeddings": embeddings, "labels": labels},
            {"angle_degrees": angle},
            wrt=WRT,
            denominator=denominator,
        )

    far = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-18, 2.0**-19, -(2.0**-18)], [1e4, 1.0, 2.0]]
    return [
        case("smooth: "),
        case("smooth: ", 20.0, embeddings=NEAR, labels=NEAR_LABELS, denominator=8.0),
        case("lengths to 1e4: ", embeddings=far, labels=FAR_LABELS, denominator=2.0),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def tuplet_margin() -> list[dict[str, Any]]:
    def case(source: str, params: dict[str, Any], denominator: float = PAIRS, **more: Any) -> Any:
        loss = unreduced(
            losses.TupletMarginLoss,
            margin=params.get("margin", 0.1) * 180 / torch.pi,
            scale=params.get("scale", 64.0),
        )
        return labelled(source, loss, params, denominator=denominator, **more)

    few = {"margin": 0.25, "scale": 4.0}
    far = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-18, 2.0**-19, -(2.0**-18)], [1e4, 1.0, 2.0]]
    alike = {
        "from": "by hand: equal directions: the sine has no gradient, by ruling",
        "inputs": {"embeddings": [[2.0, 0.0], [1.0, 0.0]], "labels": [0, 0]},
        "params": few,
        "values": [0.0, 0.0],
        "denominator": 0.0,
        "gradients": {"embeddings": [[0.0, 0.0]] * 2},
    }
    return [
        case("smooth: ", few),
        case("smooth: ", {}, 8.0, embeddings=NEAR, labels=NEAR_LABELS),
        case("lengths to 1e4: ", few, 2.0, embeddings=far, labels=FAR_LABELS),
        alike,
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def nca() -> list[dict[str, Any]]:
    def loss(scale: float, normalized: bool) -> Any:
        distance = {} if normalized else {"distance": plain_distance(2)}
        return unreduced(losses.NCALoss, softmax_scale=scale, **distance)

    def f(params: Any, embeddings: Any, labels: Any) -> list[Any]:
        values = []
        for a, row in enumerate(_apart(embeddings)):
            near = [-(d**2) for b, d in enumerate(row) if b != a]
            own = [-(d**2) for b, d in enumerate(row) if b != a and labels[b] == labels[a]]
            values.append(lse(near) - lse(own) if own else mpf(0))
        return values

    positives = float(sum(p > 0 for p in counts(LABELS)[0]))
    far = {"embeddings": [[1e4, 0.0], [-1e4, 1.0], [0.0, 50.0], [1.0, 2.0]], "labels": FAR_LABELS}
    return [
        labelled("smooth: ", loss(1, False), embeddings=NEAR, labels=NEAR_LABELS, denominator=5.0),
        labelled(
            "smooth: ", loss(3, True), {"scale": 3.0, "normalize": True}, denominator=positives
        ),
        batch_case(f"{DIGITS}: squared distances to 4e8", f, far, wrt=WRT, denominator=2.0),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def ranked_list() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any, labels: Any) -> list[Any]:
        m, alpha = mpf(params.get("margin", 0.4)), mpf(params.get("alpha", 1.2))
        hot = [
            mpf(params.get(f"{kind}_temperature", default))
            for kind, default in (("positive", 0.0), ("negative", 10.0))
        ]
        share = mpf(params.get("balance", 0.5))
        values = []
        for a, row in enumerate(_apart(unit_rows(embeddings))):
            out = [d - alpha + m for b, d in enumerate(row) if labels[b] == labels[a] and b != a]
            near = [alpha - d for b, d in enumerate(row) if labels[b] != labels[a]]
            means = []
            for found, t in zip((out, near), hot, strict=True):
                found = [v for v in found if v > 0]
                weights = [mp.exp(t * v) for v in found]
                total = sum(w * v for w, v in zip(weights, found, strict=True))
                means.append(total / sum(weights) if found else mpf(0))
            values.append((1 - share) * means[0] + share * means[1])
        return values

    def case(source: str, given: Any = GIVEN, **params: Any) -> dict[str, Any]:
        made = batch_case(f"{source}{DIGITS}", f, given, params, wrt=WRT)
        theirs = per_anchor(
            unreduced(
                losses.RankedListLoss,
                margin=params.get("margin", 0.4),
                alpha=params.get("alpha", 1.2),
                Tp=params.get("positive_temperature", 0.0),
                Tn=params.get("negative_temperature", 10.0),
                imbalance=params.get("balance", 0.5),
            )
        )
        x = torch.tensor(given["embeddings"]).double()
        # Theirs has an epsilon of 1e-5 in the denominators.
        want = torch.tensor(made["values"]).double()
        torch.testing.assert_close(
            theirs(x, torch.tensor(given["labels"])), want, atol=1e-3, rtol=0
        )
        return made

    checked = f"smooth: checked to its epsilon with {PML} RankedListLoss; "
    return [
        case(checked),
        case(
            checked, positive_temperature=2.0, negative_temperature=1.0, balance=0.25, margin=0.75
        ),
        case("lengths to 1e4; ", {"embeddings": FAR, "labels": FAR_LABELS}),
        case("no positives; ", {"embeddings": SIX[:3], "labels": [1, 2, 3]}),
    ]


def fast_ap() -> list[dict[str, Any]]:
    positives = float(sum(p > 0 for p in counts(LABELS)[0]))

    def case(source: str, bins: int = 10, denominator: float = positives, **more: Any) -> Any:
        loss = unreduced(losses.FastAPLoss, num_bins=bins)
        return labelled(source, loss, {"bins": bins}, denominator=denominator, **more)

    return [
        case("smooth: "),
        case("smooth: ", 4, 5.0, embeddings=NEAR, labels=NEAR_LABELS),
        case("lengths to 1e4: ", 7, 3.0, embeddings=FAR, labels=[1, 1, 1, 2]),
        nothing([1, 2, 3], SIX[:3], "no positives"),
    ]


def histogram() -> list[dict[str, Any]]:
    def case(source: str, bins: int, embeddings: Any, labels: list[int]) -> dict[str, Any]:
        def f(embeddings: Tensor, labels: Tensor) -> Tensor:
            torch.set_default_dtype(torch.float64)  # it multiplies integers with a number
            try:
                return losses.HistogramLoss(n_bins=bins)(embeddings, labels)
            finally:
                torch.set_default_dtype(torch.float32)

        return torch_case(
            f"{source}{PML} HistogramLoss",
            f,
            {"embeddings": embeddings, "labels": labels},
            {"bins": bins},
            wrt=WRT,
        )

    none = nothing([1, 2, 3], SIX[:3], "no positive pairs") | {"values": 0.0}
    del none["denominator"]
    return [
        case("smooth: ", 100, SIX, LABELS),
        case("smooth: ", 5, NEAR, NEAR_LABELS),
        case("lengths to 1e4: ", 7, FAR, [1, 1, 2, 2]),
        none,
    ]


def _distance_weights(embeddings: Any, labels: list[int]) -> list[list[Any]]:
    """One over the density of distances on the sphere, from 0.5 to 1.4, of each row's negatives."""
    features, found = len(embeddings[0]), []
    for a, row in enumerate(_apart(unit_rows([[mpf(v) for v in x] for x in embeddings]))):
        weights = []
        for b, d in enumerate(row):
            d = max(d, mpf("0.5"))
            density = d ** (features - 2) * (1 - d**2 / 4) ** (mpf(features - 3) / 2)
            weights.append(1 / density if labels[b] != labels[a] and d < mpf("1.4") else mpf(0))
        total = sum(weights)
        found.append([w / total if total else mpf(0) for w in weights])
    return found


def margin() -> list[dict[str, Any]]:
    def f(margin: float, normalized: bool) -> Any:
        def rows(embeddings: Tensor, labels: Tensor, beta: Tensor) -> Tensor:
            # Their contrastive loss, at margins of the boundary of each pair's anchor.
            positive, _, negative, _ = loss_and_miner_utils.get_all_pairs_indices(labels)
            distance = {} if normalized else {"distance": plain_distance()}
            loss = unreduced(losses.ContrastiveLoss, **distance)
            loss.pos_margin = beta[labels[positive]] - margin
            loss.neg_margin = beta[labels[negative]] + margin
            return per_anchor(loss)(embeddings, labels)

        return rows

    def case(source: str, given: Any, params: Any, normalized: bool = True) -> dict[str, Any]:
        rows = len(given["labels"])
        return torch_case(
            f"{source}{PML} ContrastiveLoss with both margins from beta",
            f(params.get("margin", 0.2), normalized),
            given,
            params,
            wrt=("embeddings", "beta"),
            denominator=float(rows * (rows - 1)),
        )

    def weighted(params: Any, embeddings: Any, labels: Any, beta: Any, shares: Any) -> list[Any]:
        values = []
        for a, row in enumerate(_apart(unit_rows(embeddings))):
            out = [d - beta[int(labels[a])] for d in row]
            pulled = [
                max(mpf(0), d + mpf("0.2"))
                for b, d in enumerate(out)
                if labels[b] == labels[a] and b != a
            ]
            pushed = sum(
                w * max(mpf(0), mpf("0.2") - d) for w, d in zip(shares[a], out, strict=True)
            )
            values.append(sum(pulled) + len(pulled) * pushed)
        return values

    def drawn(given: Any) -> dict[str, Any]:
        shares = _distance_weights(given["embeddings"], given["labels"])

        def f(params: Any, **inputs: Any) -> list[Any]:
            return weighted(params, **inputs, shares=shares)

        return batch_case(
            f"paper only: {DIGITS}: negatives weighted by distance",
            f,
            given,
            {"margin": 0.2, "negatives": "distance_weighted"},
            wrt=("embeddings", "beta"),
            denominator=2 * pairs_with_negatives(given["labels"]),
        )

    given = GIVEN | {"beta": [0.75, 1.0, 1.25]}
    plain = {"margin": 0.5, "normalize": False}
    far = {"embeddings": FAR, "labels": [1, 1, 0, 1], "beta": [0.5, 1.0]}
    return [
        case("smooth: ", given, {}),
        case("smooth: ", given, plain, False),
        drawn(given),
        case("lengths to 1e4: ", far, plain, False),
        {
            "from": "by hand: at distance 0 the gradient is 0, but that of the boundary is not",
            "inputs": {"embeddings": [[1.0, 0.0]] * 2, "labels": [0, 1], "beta": [0.5, 0.25]},
            "params": {"margin": 0.5},
            "values": [1.0, 0.75],
            "denominator": 2.0,
            "gradients": {"embeddings": [[0.0, 0.0]] * 2, "beta": [1.0, 1.0]},
        },
    ]


def signal_to_noise_contrastive() -> list[dict[str, Any]]:
    def case(source: str, given: Any, params: dict[str, Any]) -> dict[str, Any]:
        def f(anchors: Tensor, others: Tensor, labels: Tensor) -> Tensor:
            distance = losses.SignalToNoiseRatioContrastiveLoss().get_default_distance()
            distance.normalize_embeddings = params.get("normalize", False)
            apart = distance(anchors, others).diagonal()
            far = torch.relu(apart - params.get("positive_margin", 0.0))
            near = torch.relu(params.get("negative_margin", 1.0) - apart)
            return torch.where(labels == 1, far, near)

        wrt = ("anchors", "others")
        return torch_case(f"{source}{PML} SNRDistance", f, given, params, wrt=wrt)

    given = {"anchors": LEFT, "others": RIGHT, "labels": [1, 0, 0, 1]}
    wide = {"positive_margin": 0.25, "negative_margin": 6.0}
    rows = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-10, 2.0**-11, 0.0]]
    far = {"anchors": rows, "others": rows[::-1], "labels": [1, 0, 0]}
    return [
        case("smooth: ", given, wide),
        case("smooth: ", given, {"normalize": True}),
        case("lengths from 1e-3 to 1e4: ", far, {}),
        {
            "from": "by hand: a silent anchor has distance 0 and no gradient, by ruling",
            "inputs": {"anchors": [[1.0, 1.0]], "others": [[0.0, 5.0]], "labels": [0]},
            "params": {},
            "values": [1.0],
            "gradients": {"anchors": [[0.0, 0.0]], "others": [[0.0, 0.0]]},
        },
    ]


def intra_pair_variance() -> list[dict[str, Any]]:
    def case(source: str, given: Any, params: dict[str, Any]) -> dict[str, Any]:
        loss = losses.IntraPairVarianceLoss(
            pos_eps=params.get("positive_epsilon", 0.01),
            neg_eps=params.get("negative_epsilon", 0.01),
        )
        return torch_case(
            f"{source}{PML} IntraPairVarianceLoss",
            lambda embeddings, labels: loss(embeddings, labels),
            given,
            params,
            wrt=WRT,
        )

    none = {"embeddings": SIX[:3], "labels": [1, 2, 3]}
    wide = {"positive_epsilon": 0.25, "negative_epsilon": 0.5}
    return [
        case("smooth: ", GIVEN, {}),
        case("smooth: ", {"embeddings": NEAR, "labels": NEAR_LABELS}, wide),
        case("lengths to 1e4: ", {"embeddings": FAR, "labels": [1, 1, 2, 2]}, {}),
        case("no positives: ", none, {}),
    ]


CASES = {
    "lifted_structure": lifted_structure,
    "generalized_lifted_structure": generalized_lifted_structure,
    "n_pairs": n_pairs,
    "angular": angular,
    "tuplet_margin": tuplet_margin,
    "nca": nca,
    "ranked_list": ranked_list,
    "fast_ap": fast_ap,
    "histogram": histogram,
    "margin": margin,
    "signal_to_noise_contrastive": signal_to_noise_contrastive,
    "intra_pair_variance": intra_pair_variance,
}
