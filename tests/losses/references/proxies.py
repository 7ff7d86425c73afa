"""Losses of embeddings and proxies: softmax with margins, proxy_nca, proxy_anchor, center."""

from typing import Any

import torch
from mpmath import mp, mpf
from pytorch_metric_learning import losses
from torch import Tensor

from references._mp import batch_case, log_softmax
from references._pml import PML, per_anchor, unreduced, with_weights
from references._torch import randoms, torch_case
from references.labelled import DIGITS, gram, unit_rows

ROWS, PROXIES = randoms(321, 4, 3), randoms(322, 5, 3)
LABELS = [0, 3, 1, 3]
GIVEN = {"embeddings": ROWS, "proxies": PROXIES, "labels": LABELS}
WRT = ("embeddings", "proxies")
FAR = {
    "embeddings": [[1e4, -1e4, 0.0], [2.0**-18, 2.0**-19, 0.0], [120.0, 50.0, 1.0]],
    "proxies": [[1e4, 0.0, 1.0], [-3.0, 0.5, 0.25], [1.0, 2.0, -(2.0**-10)]],
    "labels": [0, 1, 2],
}
CENTERS = randoms(323, 3, 2, 3)


def theirs(
    source: str,
    make: Any,
    params: dict[str, Any] | None = None,
    given: dict[str, Any] = GIVEN,
    *,
    weights: str = "W",
    transposed: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """A case of one of their losses, whose proxies are replaced by ours."""
    if "num_classes" not in options:
        options |= {"num_classes": len(given["proxies"]), "embedding_size": 3}
    key = "centers" if "centers" in given else "proxies"

    def f(**x: Tensor) -> Tensor:
        ours = x[key].flatten(0, -2)
        loss = with_weights(unreduced(make, **options), weights, ours.T if transposed else ours)
        return per_anchor(loss)(x["embeddings"], x["labels"])

    return torch_case(f"{source}{PML} {make.__name__}", f, given, params, wrt=("embeddings", key))


def by_mpmath(
    source: str, formula: Any, params: dict[str, Any] | None = None, given: Any = GIVEN, **more: Any
) -> dict[str, Any]:
    return batch_case(f"{source}{DIGITS}", formula, given, params, wrt=WRT, **more)


def _length(x: Any) -> Any:
    return mp.sqrt(sum(each * each for each in x))


def _softmax_with(cosines: Any, own: Any, label: int, scale: Any) -> Any:
    logits = [scale * (own if j == label else c) for j, c in enumerate(cosines)]
    return -log_softmax(logits)[label]


def _angles(embeddings: Any, proxies: Any, labels: list[int]) -> Any:
    """The cosines of each row, and the angle to its own class."""
    for row, label in zip(gram(unit_rows(embeddings), unit_rows(proxies)), labels, strict=True):
        own = int(label)
        yield row, own, mp.acos(max(mpf(-1), min(mpf(1), row[own])))


def _turned(angle: Any, margin: Any, beyond: str) -> Any:
    if beyond == "linear" and angle + margin > mp.pi:
        return mp.cos(angle) - margin * mp.sin(margin)
    return mp.cos(angle + margin)


def _arcface(params: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
    margin = mpf(params.get("margin", 0.5))
    return [
        _softmax_with(
            row,
            _turned(angle, margin, params.get("beyond", "linear")),
            label,
            mpf(params.get("scale", 64.0)),
        )
        for row, label, angle in _angles(embeddings, proxies, labels)
    ]


# Angles of 0, of almost pi, and of pi - 0.3 to the own proxy.
STEEP = {
    "embeddings": [[3.0, 1.0], [-2.0, 0.03125], [-1.0, 0.3125]],
    "proxies": [[1.0, 0.0], [0.0, 1.0]],
    "labels": [0, 0, 0],
}


def arcface() -> list[dict[str, Any]]:
    return [
        theirs("smooth: 28.6 degrees, ", losses.ArcFaceLoss, {"margin": 28.6 * torch.pi / 180}),
        theirs(
            "smooth: past pi, ",
            losses.ArcFaceLoss,
            {"margin": torch.pi / 2, "scale": 8.0},
            margin=90,
            scale=8,
        ),
        by_mpmath("smooth: past pi, ", _arcface, {"beyond": "none", "scale": 4.0}, STEEP),
        by_mpmath("past pi, ", _arcface, {"scale": 4.0}, STEEP),
        by_mpmath("lengths from 1e-6 to 1e4, ", _arcface, {"scale": 16.0}, FAR),
        {
            "from": "by hand: at angle 0 the sine has no gradient, and a zero vector has none",
            "inputs": {
                "embeddings": [[2.0, 0.0], [0.0, 0.0]],
                "proxies": [[1.0, 0.0]],
                "labels": [0, 0],
            },
            "params": {},
            "values": [0.0, 0.0],
            "gradients": {"embeddings": [[0.0, 0.0]] * 2, "proxies": [[0.0, 0.0]]},
        },
    ]


def subcenter_arcface() -> list[dict[str, Any]]:
    given = {"embeddings": ROWS, "centers": CENTERS, "labels": [0, 2, 1, 2]}
    sizes = {"num_classes": 3, "embedding_size": 3, "sub_centers": 2}
    far = given | {"embeddings": [[1e4, -1e4, 0.0], [0.0, 50.0, -120.0]], "labels": [2, 0]}
    margin = {"margin": 28.6 * torch.pi / 180}
    few = margin | {"scale": 8.0}
    return [
        theirs("smooth: ", losses.SubCenterArcFaceLoss, margin, given, **sizes),
        theirs("smooth: ", losses.SubCenterArcFaceLoss, few, given, scale=8, **sizes),
        theirs("lengths to 1e4: ", losses.SubCenterArcFaceLoss, few, far, scale=8, **sizes),
    ]


def cosface() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        margin, scale = mpf(params.get("margin", 0.35)), mpf(params.get("scale", 64.0))
        return [
            _softmax_with(row, row[label] - margin, label, scale)
            for row, label, _ in _angles(embeddings, proxies, labels)
        ]

    zero = {"embeddings": [[0.0, 0.0]], "proxies": [[1.0, 0.0], [0.0, 2.0]], "labels": [1]}
    return [
        theirs("smooth: ", losses.CosFaceLoss),
        theirs("smooth: ", losses.CosFaceLoss, {"margin": 0.1, "scale": 8.0}, margin=0.1, scale=8),
        by_mpmath("lengths from 1e-6 to 1e4, ", f, {"scale": 16.0}, FAR),
        by_mpmath(
            "a zero vector has cosine 0 and no gradient, by ruling, ",
            f,
            {"scale": 8.0},
            zero,
            kinks={"embeddings": [[0.0, 0.0]], "proxies": [[0.0, 0.0]] * 2},
        ),
    ]


def normalized_softmax() -> list[dict[str, Any]]:
    from pytorch_metric_learning.distances import CosineSimilarity

    def f(params: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        scale = 1 / mpf(params.get("temperature", 0.05))
        return [
            _softmax_with(row, row[label], label, scale)
            for row, label, _ in _angles(embeddings, proxies, labels)
        ]

    cosine = {"distance": CosineSimilarity()}
    return [
        theirs("smooth: ", losses.NormalizedSoftmaxLoss, **cosine),
        theirs(
            "smooth: ",
            losses.NormalizedSoftmaxLoss,
            {"temperature": 0.5},
            temperature=0.5,
            **cosine,
        ),
        by_mpmath("lengths from 1e-6 to 1e4, ", f, {"temperature": 0.125}, FAR),
    ]


def _multiplied(params: Any, by_weights: bool) -> Any:
    m, annealing = params.get("margin", 4), mpf(params.get("annealing", 0.0))

    def f(_: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        values = []
        sizes = [_length(w) if by_weights else mpf(1) for w in proxies]
        for x, (row, label, angle) in zip(
            embeddings, _angles(embeddings, proxies, labels), strict=True
        ):
            k = min(mp.floor(m * angle / mp.pi), m - 1)
            psi = (-1) ** int(k) * mp.cos(m * angle) - 2 * k
            own = (psi + annealing * row[label]) / (1 + annealing)
            logits = [
                _length(x) * size * (own if j == label else c)
                for j, (c, size) in enumerate(zip(row, sizes, strict=True))
            ]
            values.append(-log_softmax(logits)[label])
        return values

    return f


def _powers(make: Any, by_weights: bool) -> list[dict[str, Any]]:
    far = FAR | {"embeddings": [[1e2, -1e4, 0.0], [2.0**-18, 2.0**-19, 0.0], [12.0, 5.0, 1.0]]}
    blended = {"margin": 3, "annealing": 5.0}
    return [
        theirs("smooth: ", make, scale=1, margin=4),
        theirs("smooth: ", make, {"margin": 2}, scale=1, margin=2),
        by_mpmath("smooth: ", _multiplied(blended, by_weights), blended),
        by_mpmath("lengths from 1e-6 to 1e4, ", _multiplied({}, by_weights), {}, far),
    ]


def sphereface() -> list[dict[str, Any]]:
    return _powers(losses.SphereFaceLoss, False)


def large_margin_softmax() -> list[dict[str, Any]]:
    return _powers(losses.LargeMarginSoftmaxLoss, True)


def adaface() -> list[dict[str, Any]]:
    def case(source: str, given: Any, **params: Any) -> dict[str, Any]:
        scale, m, h = (
            mpf(params.get(key, default))
            for key, default in (("scale", 64.0), ("margin", 0.4), ("concentration", 0.333))
        )
        mean, deviation = mpf(given["length_mean"]), mpf(given["length_deviation"])
        quality = [
            max(mpf(-1), min(mpf(1), h * (_length(map(mpf, x)) - mean) / deviation))
            for x in given["embeddings"]
        ]

        def f(_: Any, embeddings: Any, proxies: Any, labels: Any, **__: Any) -> list[Any]:
            values = []
            for z, (row, label, angle) in zip(
                quality, _angles(embeddings, proxies, labels), strict=True
            ):
                turned = max(mpf(0), min(mp.pi, angle - m * z))
                values.append(_softmax_with(row, mp.cos(turned) - m * z - m, label, scale))
            return values

        made = batch_case(f"{source}{DIGITS}", f, given, params, wrt=WRT)
        lengths = [_length(map(mpf, x)) for x in given["embeddings"]]
        average = sum(lengths) / len(lengths)
        spread = sum((each - average) ** 2 for each in lengths) / (len(lengths) - 1)
        moved = {
            "length_mean": float(99 * mean / 100 + average / 100),
            "length_deviation": float(99 * deviation / 100 + mp.sqrt(spread) / 100),
        }
        return made | {"state": moved}

    sure = GIVEN | {"length_mean": 1.0, "length_deviation": 0.0625}
    spread = GIVEN | {"length_mean": 2.5, "length_deviation": 1.0}
    few = STEEP | {"length_mean": 2.0, "length_deviation": 0.125}
    far = FAR | {"length_mean": 20.0, "length_deviation": 10.0}
    return [
        case("smooth: paper only: lengths all above, ", sure, scale=8.0),
        case("paper only: the quality counts as constant, ", spread, scale=8.0),
        case("paper only: angles kept within 0 and pi, ", few, scale=4.0),
        case("paper only: lengths from 1e-6 to 1e4, ", far, scale=4.0),
    ]


def magface() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        low = mpf(params.get("shortest", 10.0))
        high = low + mpf(params.get("length_range", 100.0))
        base, more = mpf(params.get("lowest_margin", 0.45)), mpf(params.get("margin_range", 0.35))
        values = []
        for x, (row, label, angle) in zip(
            embeddings, _angles(embeddings, proxies, labels), strict=True
        ):
            a = max(low, min(high, _length(x)))
            margin = base + more * (a - low) / (high - low)
            own = _turned(angle, margin, params.get("beyond", "linear"))
            told = _softmax_with(row, own, label, mpf(params.get("scale", 64.0)))
            values.append(told + mpf(params.get("length_weight", 35.0)) * (1 / a + a / high**2))
        return values

    short = {"shortest": 1.0, "length_range": 5.0, "scale": 8.0}
    steep = STEEP | {"embeddings": [[30.0, 10.0], [-20.0, 0.3125], [-10.0, 3.125]]}
    return [
        by_mpmath("smooth: paper only: ", f, short),
        by_mpmath("smooth: paper only: ", f, short | {"beyond": "none", "length_weight": 0.0}),
        by_mpmath("paper only: lengths from 1e-6 to 1e4, ", f, {"scale": 4.0}, FAR),
        by_mpmath("paper only: past pi, ", f, {"scale": 4.0}, steep),
    ]


def p2sgrad() -> list[dict[str, Any]]:
    def f(_: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        return [
            sum((c - (j == label)) ** 2 for j, c in enumerate(row)) / len(row)
            for row, label, _ in _angles(embeddings, proxies, labels)
        ]

    case = by_mpmath("smooth: checked with pytorch-metric-learning 2.9.0 P2SGradLoss; ", f)
    loss = losses.P2SGradLoss(descriptors_dim=3, num_classes=5)
    loss.weight.data = torch.tensor(PROXIES).double().T
    mean = loss(torch.tensor(ROWS).double(), torch.tensor(LABELS))
    # Its weights are normalised in its own rounding.
    assert abs(mean.item() - sum(case["values"]) / 4) < 1e-6
    zero = {"embeddings": [[0.0, 0.0]], "proxies": [[1.0, 0.0], [0.0, 2.0]], "labels": [1]}
    nothing = {"embeddings": [[0.0, 0.0]], "proxies": [[0.0, 0.0]] * 2}
    return [
        case,
        by_mpmath("lengths from 1e-6 to 1e4, ", f, {}, FAR),
        by_mpmath("a zero vector has no gradient, by ruling, ", f, {}, zero, kinks=nothing),
    ]


def center() -> list[dict[str, Any]]:
    def f(_: Any, embeddings: Any, centers: Any, labels: Any) -> list[Any]:
        return [
            sum((a - b) ** 2 for a, b in zip(x, centers[int(label)], strict=True)) / 2
            for x, label in zip(embeddings, labels, strict=True)
        ]

    def case(source: str, given: Any) -> dict[str, Any]:
        named = {"centers" if key == "proxies" else key: x for key, x in given.items()}
        return batch_case(f"{source}{DIGITS}", f, named, wrt=("embeddings", "centers"))

    same = {"embeddings": [[1.0, 2.0]], "proxies": [[1.0, 2.0], [0.0, 0.0]], "labels": [0]}
    return [
        case("smooth: paper only: ", GIVEN),
        case("paper only: lengths to 1e4, ", FAR),
        case("paper only: at the center, ", same),
    ]


def proxy_nca() -> list[dict[str, Any]]:
    def f(params: Any, embeddings: Any, proxies: Any, labels: Any) -> list[Any]:
        if params.get("normalize", True):
            embeddings, proxies = unit_rows(embeddings), unit_rows(proxies)
        scale = mpf(params.get("scale", 1.0))
        values = []
        for x, label in zip(embeddings, labels, strict=True):
            near = [-scale * sum((a - b) ** 2 for a, b in zip(x, w, strict=True)) for w in proxies]
            own = near[int(label)]
            if not params.get("own_in_denominator"):
                near = [z for j, z in enumerate(near) if j != label]
            top = max(near)
            values.append(top + mp.log(sum(mp.exp(z - top) for z in near)) - own)
        return values

    def softmax(scale: float) -> dict[str, Any]:
        return {"scale": scale, "own_in_denominator": True}

    def pml(scale: float) -> dict[str, Any]:
        return theirs(
            "smooth: ",
            losses.ProxyNCALoss,
            softmax(scale),
            weights="proxies",
            transposed=False,
            softmax_scale=scale,
        )

    large = {"normalize": False}
    return [
        by_mpmath("smooth: ", f),
        pml(1.0),
        pml(9.0),
        by_mpmath("smooth: not normalised, ", f, large | {"scale": 0.5}),
        by_mpmath("lengths from 1e-6 to 1e4, ", f, softmax(3.0), FAR),
        by_mpmath("squared distances to 1e8, ", f, large, FAR),
    ]


def soft_triple() -> list[dict[str, Any]]:
    given = {"embeddings": ROWS, "centers": CENTERS, "labels": [0, 2, 1, 2]}
    sizes = {"num_classes": 3, "embedding_size": 3, "centers_per_class": 2, "weights": "fc"}
    far = given | {"embeddings": [[1e4, -1e4, 0.0], [0.0, 50.0, -120.0]], "labels": [2, 0]}
    other = {"scale": 8.0, "gamma": 0.5, "margin": 0.25}
    return [
        theirs("smooth: ", losses.SoftTripleLoss, {}, given, **sizes),
        theirs(
            "smooth: ", losses.SoftTripleLoss, other, given, la=8, gamma=0.5, margin=0.25, **sizes
        ),
        theirs("lengths to 1e4: ", losses.SoftTripleLoss, {}, far, **sizes),
    ]


def proxy_anchor() -> list[dict[str, Any]]:
    def case(source: str, params: Any, given: Any, **options: Any) -> dict[str, Any]:
        sizes = {"num_classes": len(given["proxies"]), "embedding_size": len(given["proxies"][0])}

        def f(embeddings: Tensor, proxies: Tensor, labels: Tensor) -> Tensor:
            made = losses.ProxyAnchorLoss(**sizes, **options)
            return with_weights(made, "proxies", proxies)(embeddings, labels)

        return torch_case(f"{source}{PML} ProxyAnchorLoss", f, given, params, wrt=WRT)

    few = {"alpha": 4.0, "margin": 0.25}
    return [
        case("smooth: ", {}, GIVEN),
        case("smooth: ", few, GIVEN, alpha=4, margin=0.25),
        case("lengths from 1e-6 to 1e4: ", few, FAR, alpha=4, margin=0.25),
        case("one class: ", {}, {"embeddings": ROWS, "proxies": PROXIES[:1], "labels": [0] * 4}),
    ]


CASES = {
    "arcface": arcface,
    "subcenter_arcface": subcenter_arcface,
    "cosface": cosface,
    "normalized_softmax": normalized_softmax,
    "sphereface": sphereface,
    "large_margin_softmax": large_margin_softmax,
    "adaface": adaface,
    "magface": magface,
    "p2sgrad": p2sgrad,
    "center": center,
    "proxy_nca": proxy_nca,
    "soft_triple": soft_triple,
    "proxy_anchor": proxy_anchor,
}
